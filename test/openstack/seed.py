#!/usr/bin/python3
"""Fill a fresh OpenStack through its own APIs.  Idempotent; called by up.sh.

seed.py identity  HOST REGION SERVICE_PASSWORD DEMO_PASSWORD TYPE=PORT...
seed.py wait      HOST_NAME COMPUTES AGENTS
seed.py resources EXT_CIDR EXT_GATEWAY EXT_POOL
"""
import sys
import time

import openstack

conn = openstack.connect(cloud="admin")
idn = conn.identity


def ensure(found, create, **kw):
    return found if found is not None else create(**kw)


def named(listing, name):
    """The one called name, or None.  (find_*() asks by id first, which Keystone logs as an error.)"""
    return next((x for x in listing(name=name) if x.name == name), None)


def grant(role, user, project):
    idn.assign_project_role_to_user(project, user, role)


def identity(host, region, service_pw, demo_pw, *endpoints):
    admin = named(idn.roles, "admin")
    service = ensure(named(idn.projects, "service"), idn.create_project, name="service", domain_id="default")
    role = ensure(named(idn.roles, "service"), idn.create_role, name="service")
    users = {"image": "glance", "placement": "placement", "compute": "nova", "network": "neutron"}
    paths = {"compute": "/v2.1"}
    for spec in endpoints:
        kind, port = spec.split("=")
        name = users[kind]
        user = ensure(named(idn.users, name), idn.create_user, name=name, password=service_pw,
                      domain_id="default", default_project_id=service.id)
        grant(admin, user, service)
        grant(role, user, service)
        svc = next(iter(idn.services(type=kind)), None)
        svc = ensure(svc, idn.create_service, type=kind, name=name)
        have = {e.interface for e in idn.endpoints(service_id=svc.id)}
        for interface in {"public", "internal", "admin"} - have:
            idn.create_endpoint(service_id=svc.id, interface=interface, region_id=region,
                                url=f"http://{host}:{port}{paths.get(kind, '')}")
    demo = ensure(named(idn.projects, "demo"), idn.create_project, name="demo", domain_id="default")
    user = ensure(named(idn.users, "demo"), idn.create_user, name="demo", password=demo_pw,
                  domain_id="default", default_project_id=demo.id)
    grant(named(idn.roles, "member"), user, demo)


def wait(host, computes, agents, limit=180):
    end = time.time() + limit
    state = None
    while time.time() < end:
        try:
            up = [s for s in conn.compute.services() if s.binary == "nova-compute" and s.state == "up" and s.host == host]
            live = [a for a in conn.network.agents() if a.is_alive and a.host == host]
            state = f"{len(up)}/{computes} computes, {len(live)}/{agents} network agents"
            if len(up) >= int(computes) and len(live) >= int(agents):
                return
        except openstack.exceptions.SDKException as e:
            state = str(e)
        time.sleep(1)
    sys.exit(f"not all up after {limit}s: {state}")


def resources(cidr, gateway, pool):
    flavors = {f.name: f for f in conn.compute.flavors()}
    for name, ram, vcpus, disk in (("m1.nano", 128, 1, 1), ("m1.tiny", 512, 1, 2),
                                   ("m1.small", 1024, 1, 4), ("m1.medium", 2048, 2, 8)):
        if name not in flavors:
            conn.compute.create_flavor(name=name, ram=ram, vcpus=vcpus, disk=disk)
    if conn.image.find_image("dummy") is None:
        conn.image.create_image(name="dummy", disk_format="raw", container_format="bare", visibility="public",
                                data=b"\0" * (1 << 20))
    net = ensure(conn.network.find_network("public"), conn.network.create_network, name="public",
                 is_router_external=True, provider_network_type="flat", provider_physical_network="public")
    if conn.network.find_subnet("public-v4") is None:
        first, last = pool.split(",")
        conn.network.create_subnet(name="public-v4", network_id=net.id, ip_version=4, cidr=cidr, gateway_ip=gateway,
                                   is_dhcp_enabled=False, allocation_pools=[{"start": first, "end": last}])


if __name__ == "__main__":
    {"identity": identity, "wait": wait, "resources": resources}[sys.argv[1]](*sys.argv[2:])
