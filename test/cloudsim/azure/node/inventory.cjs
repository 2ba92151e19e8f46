// Lists a subscription with Microsoft's own SDK for Node, and lets it make and
// delete a network, an address and what its pollers wait for.
//
//	NODE_PATH=node_modules node inventory.cjs URL CREDENTIALS_FILE REGION
//
// It prints one JSON object: {before: [{kind, id, name, region, tags}], made:
// [...], after: [...], refused: {status, code}}.
"use strict";
const fs = require("fs");
const { ComputeManagementClient } = require("@azure/arm-compute");
const { NetworkManagementClient } = require("@azure/arm-network");

async function main() {
  const [url, file, region] = process.argv.slice(2);
  const who = JSON.parse(fs.readFileSync(file, "utf8"));
  const credential = { getToken: (scopes) => fetchToken(url, who, scopes) };
  const options = { endpoint: url, allowInsecureConnection: true, retryOptions: { maxRetries: 0 }, credentialScopes: url + "/.default" };
  const compute = plain(new ComputeManagementClient(credential, who.subscriptionId, options), credential, url);
  const network = plain(new NetworkManagementClient(credential, who.subscriptionId, options), credential, url);

  const before = await list(compute, network);
  const group = before.find((r) => r.kind === "network").id.split("/")[4];
  const wait = { updateIntervalInMs: 50 };
  const address = await network.publicIPAddresses.beginCreateOrUpdateAndWait(
    group, "node-ip", { location: region, sku: { name: "Standard" }, publicIPAllocationMethod: "Static", tags: { who: "node" } }, wait);
  const net = await network.virtualNetworks.beginCreateOrUpdateAndWait(
    group, "node-net", { location: region, addressSpace: { addressPrefixes: ["10.9.0.0/16"] }, subnets: [{ name: "a", addressPrefix: "10.9.1.0/24" }] }, wait);
  if (address.provisioningState !== "Succeeded" || !address.ipAddress || net.subnets.length !== 1) {
    throw new Error("not as asked for: " + JSON.stringify([address, net]));
  }
  const made = await list(compute, network);
  let refused;
  try {
    await network.publicIPAddresses.beginCreateOrUpdateAndWait(group, "node-bad", { location: "mars", sku: { name: "Standard" } }, wait);
  } catch (e) {
    refused = { status: e.statusCode, code: e.code };
  }
  await network.publicIPAddresses.beginDeleteAndWait(group, "node-ip", wait);
  await network.virtualNetworks.beginDeleteAndWait(group, "node-net", wait);
  console.log(JSON.stringify({ before, made, after: await list(compute, network), refused }));
}

// plain puts the token into requests that are not encrypted, which the SDK's own
// policy refuses to do.
function plain(client, credential, url) {
  client.pipeline.removePolicy({ name: "bearerTokenAuthenticationPolicy" });
  client.pipeline.addPolicy({
    name: "plainToken",
    async sendRequest(request, next) {
      const { token } = await credential.getToken([url + "/.default"]);
      request.headers.set("Authorization", "Bearer " + token);
      return next(request);
    },
  });
  return client;
}

async function fetchToken(url, who, scopes) {
  const answer = await fetch(`${url}/${who.tenantId}/oauth2/v2.0/token`, {
    method: "POST",
    body: new URLSearchParams({
      grant_type: "client_credentials", client_id: who.clientId, client_secret: who.clientSecret, scope: [].concat(scopes).join(" "),
    }),
  });
  if (!answer.ok) throw new Error(`token: ${answer.status}`);
  const body = await answer.json();
  return { token: body.access_token, expiresOnTimestamp: Date.now() + body.expires_in * 1000 };
}

async function list(compute, network) {
  const out = [];
  const add = async (kind, pages) => {
    for await (const r of pages) {
      out.push({ kind, id: r.id, name: r.name, region: r.location, tags: r.tags || {} });
    }
  };
  await add("vm", compute.virtualMachines.listAll());
  await add("port", network.networkInterfaces.listAll());
  await add("publicIp", network.publicIPAddresses.listAll());
  await add("securityGroup", network.networkSecurityGroups.listAll());
  await add("network", network.virtualNetworks.listAll());
  return out;
}

main().catch((e) => {
  console.error(e);
  process.exit(1);
});
