// The vendor's clients for the simulated cloud, as the environment says:
// ALIBABA_ENDPOINT (HOST:PORT), ALIBABA_CLOUD_ACCESS_KEY_ID and _SECRET.
'use strict';

const ecs = require('@alicloud/ecs20140526');
const vpc = require('@alicloud/vpc20160428');
const { $OpenApiUtil } = require('@alicloud/openapi-core');

const region = 'ap-northeast-2';
// clients returns both clients; change replaces settings.
function clients(change) {
  const config = new $OpenApiUtil.Config({
    accessKeyId: process.env.ALIBABA_CLOUD_ACCESS_KEY_ID,
    accessKeySecret: process.env.ALIBABA_CLOUD_ACCESS_KEY_SECRET,
    securityToken: process.env.ALIBABA_CLOUD_SECURITY_TOKEN,
    endpoint: process.env.ALIBABA_ENDPOINT,
    protocol: 'http',
    regionId: region,
    ...change,
  });
  return { onECS: new ecs.default(config), onVPC: new vpc.default(config) };
}

module.exports = { ecs, vpc, region, clients };
