// Reads actions, {"product": "ecs", "action": "RunInstances"} one a line, and
// prints what the vendor's Node SDK says of each: the names of its parameters,
// with N for the numbers of lists, and those that its documentation calls
// required.
'use strict';

const fs = require('fs');
const path = require('path');

const packages = { ecs: '@alicloud/ecs20140526', vpc: '@alicloud/vpc20160428' };

// names flattens a model to the names in a request.
function names(model, types, prefix) {
  const out = [];
  for (const [field, name] of Object.entries(model)) out.push(...flat(types[field], prefix + name));
  return out;
}

function flat(type, name) {
  if (type && type.type === 'array') return flat(type.itemType, `${name}.N`);
  if (type && typeof type.names === 'function') return names(type.names(), type.types(), `${name}.`);
  return [name];
}

// required reads the documentation comments of a model's declaration.
function required(pkg, action, model) {
  const dir = path.join(path.dirname(require.resolve(pkg)), 'models');
  const file = fs.readdirSync(dir).find((f) => f.toLowerCase() === `${action}request.d.ts`.toLowerCase());
  const text = fs.readFileSync(path.join(dir, file), 'utf8');
  const body = text.slice(text.indexOf(`class ${action}Request extends`));
  const out = [];
  for (const [, comment, field] of body.matchAll(/\/\*\*((?:[^*]|\*(?!\/))*)\*\/\s*(\w+)\??:/g)) {
    if (comment.includes('This parameter is required.')) out.push(model[field]);
  }
  return out;
}

const out = {};
for (const line of fs.readFileSync(0, 'utf8').split('\n').filter(Boolean)) {
  const { product, action } = JSON.parse(line);
  const type = require(packages[product])[`${action}Request`];
  if (!type) throw new Error(`${product} ${action}: the SDK has no such action`);
  out[`${product} ${action}`] = { params: names(type.names(), type.types(), ''), required: required(packages[product], action, type.names()) };
}
console.log(JSON.stringify(out));
