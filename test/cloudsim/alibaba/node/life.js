// Takes a network and a machine through their life with the vendor's Node SDK.
// Each argument is a step, and each prints a line of JSON:
//
//   create             makes them and tells their ids
//   list               tells the ids of all there is
//   refused KEY VALUE  lists with another setting, and tells the code of the refusal
//   delete             deletes all there is
'use strict';

const { ecs, vpc, region, clients } = require('./client.js');

const { onECS, onVPC } = clients({});

const tags = [{ key: 'made-by', value: 'node' }];
const key = process.env.TEST_SSH_KEY;

// until polls, since what it waits for goes on by itself.
async function until(what, look) {
  for (const end = Date.now() + 20000; Date.now() < end;) {
    if (await look()) return;
    await new Promise((done) => setTimeout(done, 20));
  }
  throw new Error(`${what}: not within 20 s`);
}

const vpcs = async () => (await onVPC.describeVpcs(new vpc.DescribeVpcsRequest({ regionId: region, pageSize: 50 }))).body.vpcs.vpc;
const vswitches = async () => (await onVPC.describeVSwitches(new vpc.DescribeVSwitchesRequest({ regionId: region, pageSize: 50 }))).body.vSwitches.vSwitch;
const groups = async () => (await onECS.describeSecurityGroups(new ecs.DescribeSecurityGroupsRequest({ regionId: region, maxResults: 10 }))).body.securityGroups.securityGroup;
const keys = async () => (await onECS.describeKeyPairs(new ecs.DescribeKeyPairsRequest({ regionId: region, pageSize: 50 }))).body.keyPairs.keyPair;
const instances = async () => (await onECS.describeInstances(new ecs.DescribeInstancesRequest({ regionId: region, maxResults: 10, tag: tags }))).body.instances.instance;

async function create() {
  const network = (await onVPC.createVpc(new vpc.CreateVpcRequest({
    regionId: region, vpcName: 'node', cidrBlock: '10.0.0.0/16', clientToken: 'node-vpc', tag: tags,
  }))).body.vpcId;
  await until('VPC', async () => (await vpcs()).some((v) => v.vpcId === network && v.status === 'Available'));
  const subnet = (await onVPC.createVSwitch(new vpc.CreateVSwitchRequest({
    regionId: region, vpcId: network, zoneId: `${region}b`, cidrBlock: '10.0.1.0/24', vSwitchName: 'node', tag: tags,
  }))).body.vSwitchId;
  await until('VSwitch', async () => (await vswitches()).some((s) => s.vSwitchId === subnet && s.status === 'Available'));
  const group = (await onECS.createSecurityGroup(new ecs.CreateSecurityGroupRequest({
    regionId: region, vpcId: network, securityGroupName: 'node', tag: tags,
  }))).body.securityGroupId;
  await onECS.modifySecurityGroupPolicy(new ecs.ModifySecurityGroupPolicyRequest({ regionId: region, securityGroupId: group, innerAccessPolicy: 'Drop' }));
  await onECS.authorizeSecurityGroup(new ecs.AuthorizeSecurityGroupRequest({
    regionId: region, securityGroupId: group,
    permissions: [{ ipProtocol: 'UDP', portRange: '51820/51820', sourceCidrIp: '0.0.0.0/0', policy: 'accept' }],
  }));
  const rules = (await onECS.describeSecurityGroupAttribute(new ecs.DescribeSecurityGroupAttributeRequest({ regionId: region, securityGroupId: group }))).body;
  await onECS.importKeyPair(new ecs.ImportKeyPairRequest({ regionId: region, keyPairName: 'node', publicKeyBody: key, tag: tags }));
  const image = (await onECS.describeImages(new ecs.DescribeImagesRequest({ regionId: region, imageOwnerAlias: 'system', architecture: 'x86_64', pageSize: 100 })))
    .body.images.image.find((i) => i.imageName.startsWith('debian_12_')).imageId;
  const order = new ecs.RunInstancesRequest({
    regionId: region, clientToken: 'node-vm', amount: 1, instanceType: 'ecs.u1-c1m2.large', imageId: image, vSwitchId: subnet, securityGroupId: group,
    instanceName: 'node', hostName: 'node-1', keyPairName: 'node', internetMaxBandwidthOut: 10, privateIpAddress: '10.0.1.7',
    systemDisk: new ecs.RunInstancesRequestSystemDisk({ category: 'cloud_essd' }), userData: Buffer.from('#!/bin/sh\n').toString('base64'), tag: tags,
  });
  const vm = (await onECS.runInstances(order)).body.instanceIdSets.instanceIdSet[0];
  const again = (await onECS.runInstances(order)).body.instanceIdSets.instanceIdSet[0];
  await until('instance', async () => (await instances()).some((i) => i.instanceId === vm && i.status === 'Running'));
  const [i] = await instances();
  const console_ = (await onECS.getInstanceConsoleOutput(new ecs.GetInstanceConsoleOutputRequest({ regionId: region, instanceId: vm }))).body;
  return {
    ids: [network, subnet, group, 'node', vm],
    again,
    policy: rules.innerAccessPolicy,
    rules: rules.permissions.permission.map((r) => `${r.direction} ${r.ipProtocol} ${r.portRange} ${r.sourceCidrIp}`),
    vm: `${i.instanceName} ${i.vpcAttributes.privateIpAddress.ipAddress[0]} ${i.publicIpAddress.ipAddress.length} ${i.zoneId} ${i.keyPairName}`,
    tags: i.tags.tag.map((t) => `${t.tagKey}=${t.tagValue}`),
    console: console_.instanceId,
  };
}

async function list() {
  return {
    ids: [
      ...(await vpcs()).map((v) => v.vpcId), ...(await vswitches()).map((s) => s.vSwitchId),
      ...(await groups()).map((g) => g.securityGroupId), ...(await keys()).map((k) => k.keyPairName), ...(await instances()).map((i) => i.instanceId),
    ],
  };
}

async function remove() {
  for (const i of await instances()) await onECS.deleteInstance(new ecs.DeleteInstanceRequest({ instanceId: i.instanceId, force: true }));
  await until('instances gone', async () => (await instances()).length === 0);
  const names = (await keys()).map((k) => k.keyPairName);
  await onECS.deleteKeyPairs(new ecs.DeleteKeyPairsRequest({ regionId: region, keyPairNames: JSON.stringify(names) }));
  for (const g of await groups()) await onECS.deleteSecurityGroup(new ecs.DeleteSecurityGroupRequest({ regionId: region, securityGroupId: g.securityGroupId }));
  for (const s of await vswitches()) await onVPC.deleteVSwitch(new vpc.DeleteVSwitchRequest({ regionId: region, vSwitchId: s.vSwitchId }));
  await until('VSwitches gone', async () => (await vswitches()).length === 0);
  for (const v of await vpcs()) await onVPC.deleteVpc(new vpc.DeleteVpcRequest({ regionId: region, vpcId: v.vpcId }));
  await until('VPCs gone', async () => (await vpcs()).length === 0);
  return list();
}

async function refused(key, value) {
  try {
    await clients({ [key]: value }).onECS.describeInstances(new ecs.DescribeInstancesRequest({ regionId: region }));
  } catch (err) {
    return { code: err.code, status: err.statusCode };
  }
  return { code: 'none' };
}

async function main(steps) {
  while (steps.length > 0) {
    const step = steps.shift();
    const args = step === 'refused' ? steps.splice(0, 2) : [];
    const out = await { create, list, refused, delete: remove }[step](...args);
    console.log(JSON.stringify(out));
  }
}

main(process.argv.slice(2));
