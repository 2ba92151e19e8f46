package aws

// actions is the table of what the service does.
func actions() map[string]action {
	const paged = " Filter MaxResults NextToken"
	const rules = "GroupId GroupName IpPermissions IpProtocol FromPort ToPort CidrIp SourceSecurityGroupName SourceSecurityGroupOwnerId"
	return map[string]action{
		// places and catalog
		"DescribeRegions":               {do: describeRegions, params: "RegionName AllRegions Filter"},
		"DescribeAvailabilityZones":     {do: describeAvailabilityZones, params: "ZoneName ZoneId AllAvailabilityZones Filter"},
		"DescribeAccountAttributes":     {do: describeAccountAttributes, params: "AttributeName"},
		"DescribeInstanceTypes":         {do: describeInstanceTypes, params: "InstanceType" + paged},
		"DescribeInstanceTypeOfferings": {do: describeInstanceTypeOfferings, params: "LocationType" + paged},
		"DescribeImages":                {do: describeImages, params: "ImageId Owner ExecutableBy IncludeDeprecated IncludeDisabled" + paged},

		// networks
		"CreateVpc":                 {do: createVpc, params: "CidrBlock InstanceTenancy TagSpecification", writes: true},
		"DescribeVpcs":              {do: describeVpcs, params: "VpcId" + paged},
		"DeleteVpc":                 {do: deleteVpc, params: "VpcId", writes: true},
		"ModifyVpcAttribute":        {do: modifyVpcAttribute, params: "VpcId EnableDnsHostnames EnableDnsSupport", writes: true},
		"DescribeVpcAttribute":      {do: describeVpcAttribute, params: "VpcId Attribute"},
		"CreateSubnet":              {do: createSubnet, params: "VpcId CidrBlock AvailabilityZone AvailabilityZoneId TagSpecification", writes: true},
		"DescribeSubnets":           {do: describeSubnets, params: "SubnetId" + paged},
		"DeleteSubnet":              {do: deleteSubnet, params: "SubnetId", writes: true},
		"ModifySubnetAttribute":     {do: modifySubnetAttribute, params: "SubnetId MapPublicIpOnLaunch PrivateDnsHostnameTypeOnLaunch EnableResourceNameDnsARecordOnLaunch EnableResourceNameDnsAAAARecordOnLaunch", writes: true},
		"CreateInternetGateway":     {do: createInternetGateway, params: "TagSpecification", writes: true},
		"AttachInternetGateway":     {do: attachInternetGateway, params: "InternetGatewayId VpcId", writes: true},
		"DetachInternetGateway":     {do: detachInternetGateway, params: "InternetGatewayId VpcId", writes: true},
		"DeleteInternetGateway":     {do: deleteInternetGateway, params: "InternetGatewayId", writes: true},
		"DescribeInternetGateways":  {do: describeInternetGateways, params: "InternetGatewayId" + paged},
		"CreateRouteTable":          {do: createRouteTable, params: "VpcId TagSpecification ClientToken", writes: true},
		"DescribeRouteTables":       {do: describeRouteTables, params: "RouteTableId" + paged},
		"DeleteRouteTable":          {do: deleteRouteTable, params: "RouteTableId", writes: true},
		"CreateRoute":               {do: createRoute, params: "RouteTableId DestinationCidrBlock GatewayId", writes: true},
		"ReplaceRoute":              {do: replaceRoute, params: "RouteTableId DestinationCidrBlock GatewayId", writes: true},
		"DeleteRoute":               {do: deleteRoute, params: "RouteTableId DestinationCidrBlock", writes: true},
		"AssociateRouteTable":       {do: associateRouteTable, params: "RouteTableId SubnetId", writes: true},
		"DisassociateRouteTable":    {do: disassociateRouteTable, params: "AssociationId", writes: true},
		"DescribeNetworkInterfaces": {do: describeNetworkInterfaces, params: "NetworkInterfaceId" + paged},
		"DeleteNetworkInterface":    {do: deleteNetworkInterface, params: "NetworkInterfaceId", writes: true},
		"AllocateAddress":           {do: allocateAddress, params: "Domain TagSpecification", writes: true},
		"DescribeAddresses":         {do: describeAddresses, params: "AllocationId PublicIp Filter"},
		"AssociateAddress":          {do: associateAddress, params: "AllocationId PublicIp InstanceId NetworkInterfaceId AllowReassociation", writes: true},
		"DisassociateAddress":       {do: disassociateAddress, params: "AssociationId PublicIp", writes: true},
		"ReleaseAddress":            {do: releaseAddress, params: "AllocationId PublicIp", writes: true},

		// security groups
		"CreateSecurityGroup":           {do: createSecurityGroup, params: "GroupName GroupDescription VpcId TagSpecification", writes: true},
		"DescribeSecurityGroups":        {do: describeSecurityGroups, params: "GroupId GroupName" + paged},
		"DeleteSecurityGroup":           {do: deleteSecurityGroup, params: "GroupId GroupName", writes: true},
		"AuthorizeSecurityGroupIngress": {do: authorizeIngress, params: rules + " TagSpecification", writes: true},
		"AuthorizeSecurityGroupEgress":  {do: authorizeEgress, params: rules + " TagSpecification", writes: true},
		"RevokeSecurityGroupIngress":    {do: revokeIngress, params: rules + " SecurityGroupRuleId", writes: true},
		"RevokeSecurityGroupEgress":     {do: revokeEgress, params: rules + " SecurityGroupRuleId", writes: true},
		"ModifySecurityGroupRules":      {do: modifySecurityGroupRules, params: "GroupId SecurityGroupRule", writes: true},
		"DescribeSecurityGroupRules":    {do: describeSecurityGroupRules, params: "SecurityGroupRuleId" + paged},

		// keys and tags
		"ImportKeyPair":    {do: importKeyPair, params: "KeyName PublicKeyMaterial TagSpecification", writes: true},
		"CreateKeyPair":    {do: createKeyPair, params: "KeyName KeyType KeyFormat TagSpecification", writes: true},
		"DescribeKeyPairs": {do: describeKeyPairs, params: "KeyName KeyPairId IncludePublicKey Filter"},
		"DeleteKeyPair":    {do: deleteKeyPair, params: "KeyName KeyPairId", writes: true},
		"CreateTags":       {do: createTags, params: "ResourceId Tag", writes: true},
		"DeleteTags":       {do: deleteTags, params: "ResourceId Tag", writes: true},
		"DescribeTags":     {do: describeTags, params: "Filter MaxResults NextToken"},

		// instances
		"RunInstances": {do: runInstances, writes: true, params: "ImageId InstanceType MinCount MaxCount KeyName UserData ClientToken" +
			" SubnetId SecurityGroupId SecurityGroup PrivateIpAddress NetworkInterface Placement TagSpecification MetadataOptions" +
			" DisableApiTermination DisableApiStop InstanceInitiatedShutdownBehavior Monitoring EbsOptimized BlockDeviceMapping CreditSpecification LaunchTemplate"},
		"DescribeInstances":      {do: describeInstances, params: "InstanceId" + paged},
		"DescribeInstanceStatus": {do: describeInstanceStatus, params: "InstanceId IncludeAllInstances" + paged},
		"StartInstances":         {do: startInstances, params: "InstanceId", writes: true},
		"StopInstances":          {do: stopInstances, params: "InstanceId Force Hibernate", writes: true},
		"RebootInstances":        {do: rebootInstances, params: "InstanceId", writes: true},
		"TerminateInstances":     {do: terminateInstances, params: "InstanceId Force SkipOsShutdown", writes: true},
		"GetConsoleOutput":       {do: getConsoleOutput, params: "InstanceId Latest"},
		"ModifyInstanceAttribute": {do: modifyInstanceAttribute, writes: true, params: "InstanceId Attribute Value SourceDestCheck DisableApiTermination" +
			" DisableApiStop InstanceInitiatedShutdownBehavior InstanceType UserData GroupId"},
		"DescribeInstanceAttribute":     {do: describeInstanceAttribute, params: "InstanceId Attribute"},
		"ModifyInstanceMetadataOptions": {do: modifyInstanceMetadataOptions, params: "InstanceId HttpTokens HttpEndpoint HttpPutResponseHopLimit", writes: true},

		// launch templates
		"CreateLaunchTemplate":        {do: createLaunchTemplate, params: "LaunchTemplateName LaunchTemplateData TagSpecification VersionDescription ClientToken", writes: true},
		"CreateLaunchTemplateVersion": {do: createLaunchTemplateVersion, params: "LaunchTemplateId LaunchTemplateName LaunchTemplateData VersionDescription ClientToken", writes: true},
		"ModifyLaunchTemplate":        {do: modifyLaunchTemplate, params: "LaunchTemplateId LaunchTemplateName SetDefaultVersion ClientToken", writes: true},
		"DeleteLaunchTemplate":        {do: deleteLaunchTemplate, params: "LaunchTemplateId LaunchTemplateName", writes: true},
		"DescribeLaunchTemplates":     {do: describeLaunchTemplates, params: "LaunchTemplateId LaunchTemplateName" + paged},

		// the token service: who am I
		"GetCallerIdentity": {do: getCallerIdentity, version: "2011-06-15"},
	}
}

// getCallerIdentity tells who the caller is, as the token service does.
func getCallerIdentity(*call) (any, error) {
	type result struct {
		ARN     string `xml:"Arn"`
		User    string `xml:"UserId"`
		Account string `xml:"Account"`
	}
	return struct {
		Result result `xml:"GetCallerIdentityResult"`
	}{result{"arn:aws:iam::" + account + ":user/example", "AIDAEXAMPLE", account}}, nil
}
