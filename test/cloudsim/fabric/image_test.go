package fabric

import "testing"

// TestSeed asserts that a datasource finds its files where cloud-init looks, and
// that nobody else can read them: user-data holds tokens.
func TestSeed(t *testing.T) {
	files := guestFiles(VM{Datasource: "Azure", Seed: map[string][]byte{"ovf-env.xml": []byte("<Environment/>")}})
	if f := files["var/lib/cloud/seed/azure/ovf-env.xml"]; f.text != "<Environment/>" || f.mode != 0o600 {
		t.Errorf("got %+v", f)
	}
	if n := len(guestFiles(VM{Datasource: "Ec2"})); n != len(files)-1 {
		t.Errorf("%d files without a seed, %d with one", n, len(files))
	}
}

// TestFirmware asserts what tells a machine of Azure from others.
func TestFirmware(t *testing.T) {
	files := sysFiles(VM{ID: "6f2a1c1e-0000-4000-8000-000000000001", Datasource: "Azure", Product: "Virtual Machine"})
	for path, want := range map[string]string{
		"class/dmi/id/product_uuid": "6f2a1c1e-0000-4000-8000-000000000001", "class/dmi/id/product_name": "Virtual Machine",
		"class/dmi/id/chassis_asset_tag": "7783-7084-3265-9085-8269-3286-77",
	} {
		if files[path] != want {
			t.Errorf("%s: %q, want %q", path, files[path], want)
		}
	}
	if _, ok := sysFiles(VM{Datasource: "OpenStack"})["class/dmi/id/product_uuid"]; ok {
		t.Error("a machine of OpenStack has Azure's firmware")
	}
}
