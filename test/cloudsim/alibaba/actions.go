package alibaba

// actions is the table of what the services do, by product and name.
func actions() map[string]action {
	const paged = " PageNumber PageSize"
	const next = " MaxResults NextToken"
	const rule = " Permissions IpProtocol PortRange SourceCidrIp SourceGroupId Policy Priority NicType Description"
	return map[string]action{
		// places and catalog
		"ecs DescribeRegions":           {do: describeRegions, params: "InstanceChargeType ResourceType"},
		"ecs DescribeZones":             {do: describeZones, params: "InstanceChargeType SpotStrategy Verbose"},
		"ecs DescribeAvailableResource": {do: describeAvailableResource, params: "*DestinationResource ZoneId InstanceChargeType IoOptimized NetworkCategory InstanceType ResourceType"},
		"ecs DescribeInstanceTypes":     {do: describeInstanceTypes, params: "InstanceTypes CpuArchitecture InstanceTypeFamily" + next},
		"ecs DescribeImages":            {do: describeImages, params: "ImageId ImageName ImageOwnerAlias OSType Architecture Status IsSupportCloudinit" + paged},
		"ecs DescribeAccountAttributes": {do: describeAccountAttributes, params: "AttributeName ZoneId"},
		"vpc DescribeRegions":           {do: describeRegions},

		// networks
		"vpc CreateVpc":         {do: createVpc, params: "VpcName CidrBlock Description Tag", writes: true},
		"vpc DescribeVpcs":      {do: describeVpcs, params: "VpcId VpcName IsDefault Tag" + paged},
		"vpc DeleteVpc":         {do: deleteVpc, params: "*VpcId", writes: true},
		"vpc CreateVSwitch":     {do: createVSwitch, params: "*VpcId *ZoneId *CidrBlock VSwitchName Description Tag", writes: true},
		"vpc DescribeVSwitches": {do: describeVSwitches, params: "VpcId VSwitchId VSwitchName ZoneId IsDefault Tag" + paged},
		"vpc DeleteVSwitch":     {do: deleteVSwitch, params: "*VSwitchId", writes: true},

		// security groups
		"ecs CreateSecurityGroup":            {do: createSecurityGroup, params: "*VpcId SecurityGroupName Description SecurityGroupType Tag", writes: true},
		"ecs DescribeSecurityGroups":         {do: describeSecurityGroups, params: "VpcId SecurityGroupId SecurityGroupIds SecurityGroupName Tag" + paged + next},
		"ecs DescribeSecurityGroupAttribute": {do: describeSecurityGroupAttribute, params: "*SecurityGroupId Direction NicType" + next},
		"ecs ModifySecurityGroupPolicy":      {do: modifySecurityGroupPolicy, params: "*SecurityGroupId *InnerAccessPolicy", writes: true},
		"ecs AuthorizeSecurityGroup":         {do: authorizeSecurityGroup, params: "*SecurityGroupId" + rule, writes: true},
		"ecs RevokeSecurityGroup":            {do: revokeSecurityGroup, params: "*SecurityGroupId SecurityGroupRuleId" + rule, writes: true},
		"ecs DeleteSecurityGroup":            {do: deleteSecurityGroup, params: "*SecurityGroupId", writes: true},

		// keys
		"ecs ImportKeyPair":    {do: importKeyPair, params: "*KeyPairName *PublicKeyBody Tag", writes: true},
		"ecs DescribeKeyPairs": {do: describeKeyPairs, params: "KeyPairName KeyPairFingerPrint IncludePublicKey Tag" + paged},
		"ecs DeleteKeyPairs":   {do: deleteKeyPairs, params: "*KeyPairNames", writes: true},

		// instances
		"ecs RunInstances": {do: runInstances, writes: true, params: "*ImageId *InstanceType *VSwitchId *SecurityGroupId Amount InstanceName HostName Description" +
			" InstanceChargeType SystemDisk.Category SystemDisk.Size ZoneId PrivateIpAddress InternetMaxBandwidthOut InternetChargeType KeyPairName UserData" +
			" HttpTokens HttpEndpoint Tag"},
		"ecs DescribeInstances":             {do: describeInstances, params: "InstanceIds InstanceName VpcId VSwitchId SecurityGroupId ZoneId Status InstanceType Tag" + paged + next},
		"ecs StartInstance":                 {do: startInstance, params: "*InstanceId", writes: true},
		"ecs StopInstance":                  {do: stopInstance, params: "*InstanceId ForceStop StoppedMode", writes: true},
		"ecs RebootInstance":                {do: rebootInstance, params: "*InstanceId ForceStop", writes: true},
		"ecs DeleteInstance":                {do: deleteInstance, params: "*InstanceId Force", writes: true},
		"ecs GetInstanceConsoleOutput":      {do: getInstanceConsoleOutput, params: "*InstanceId RemoveSymbols"},
		"ecs DescribeInstanceHistoryEvents": {do: describeInstanceHistoryEvents, params: "InstanceId ResourceType ResourceId InstanceEventType InstanceEventCycleStatus" + next},
	}
}
