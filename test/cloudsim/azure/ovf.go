package azure

import (
	"bytes"
	"encoding/xml"
	"text/template"
)

// ovfTemplate is the OVF environment of a Linux machine, which it finds on a DVD.
var ovfTemplate = template.Must(template.New("ovf").Funcs(template.FuncMap{"xml": escape}).Parse(`<?xml version="1.0" encoding="utf-8"?>
<Environment xmlns="http://schemas.dmtf.org/ovf/environment/1" xmlns:oe="http://schemas.dmtf.org/ovf/environment/1" xmlns:wa="http://schemas.microsoft.com/windowsazure" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
  <wa:ProvisioningSection>
    <wa:Version>1.0</wa:Version>
    <LinuxProvisioningConfigurationSet xmlns="http://schemas.microsoft.com/windowsazure" xmlns:i="http://www.w3.org/2001/XMLSchema-instance">
      <ConfigurationSetType>LinuxProvisioningConfiguration</ConfigurationSetType>
      <HostName>{{xml .Host}}</HostName>
      <UserName>{{xml .User}}</UserName>
      <DisableSshPasswordAuthentication>{{.KeysOnly}}</DisableSshPasswordAuthentication>
      {{- if .Data}}
      <CustomData>{{.Data}}</CustomData>
      {{- end}}
      <SSH>
        <PublicKeys>
          {{- range .Keys}}
          <PublicKey><Path>{{xml .Path}}</Path><Value>{{xml .Value}}</Value></PublicKey>
          {{- end}}
        </PublicKeys>
      </SSH>
    </LinuxProvisioningConfigurationSet>
  </wa:ProvisioningSection>
  <wa:PlatformSettingsSection>
    <wa:Version>1.0</wa:Version>
    <PlatformSettings xmlns="http://schemas.microsoft.com/windowsazure" xmlns:i="http://www.w3.org/2001/XMLSchema-instance">
      <KmsServerHostname>kms.core.windows.net</KmsServerHostname>
      <ProvisionGuestAgent>true</ProvisionGuestAgent>
      <GuestAgentPackageName i:nil="true" />
      <RetainWindowsPEPassInUnattend>true</RetainWindowsPEPassInUnattend>
      <RetainOfflineServicingPassInUnattend>true</RetainOfflineServicingPassInUnattend>
      <PreprovisionedVm>false</PreprovisionedVm>
      <EnableTrustedImageIdentifier>false</EnableTrustedImageIdentifier>
    </PlatformSettings>
  </wa:PlatformSettingsSection>
</Environment>
`))

// ovfKey is a public key and where it is to be.
type ovfKey struct{ Path, Value string }

// ovf returns a machine's OVF environment: its name, its user and the customData.
func (m *machine) ovf(host string) []byte {
	os := m.sent.OSProfile
	doc := struct {
		Host, User, Data string
		KeysOnly         bool
		Keys             []ovfKey
	}{Host: host, User: or(os.AdminUsername, ""), Data: or(os.CustomData, "")}
	if l := os.LinuxConfiguration; l != nil {
		doc.KeysOnly = or(l.DisablePasswordAuthentication, false)
		if l.SSH != nil {
			for _, k := range l.SSH.PublicKeys {
				doc.Keys = append(doc.Keys, ovfKey{or(k.Path, ""), or(k.KeyData, "")})
			}
		}
	}
	var out bytes.Buffer
	_ = ovfTemplate.Execute(&out, doc) // cannot fail: every field is there
	return out.Bytes()
}

// escape writes text into XML.
func escape(s string) (string, error) {
	var out bytes.Buffer
	err := xml.EscapeText(&out, []byte(s))
	return out.String(), err
}
