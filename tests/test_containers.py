"""A container is known by its cgroup's path; nothing else is taken for one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.containers import Container, container_of

ID = "4f797c539e6c745de61a93ca3ff892358ecbcaccd8414d5db545c38428142970"
OTHER = "9ec39b91f3d70e1beff50a308f77067065ea6be0d91a3378375056cd4422cf3d"
TASK = "34dc0b5e626f2c5c4c5170e34b10e765"
UID = "ac04f3f2-1f2c-11e9-b015-1ebee232acfa"
QOS = f"kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{UID.replace('-', '_')}.slice"
USER = "user.slice/user-1000.slice/user@1000.service"

FORMS = [
    # Docker
    ("/docker/ID", "docker"),
    ("/system.slice/docker-ID.scope", "docker"),
    ("/builders.slice/builders-ci.slice/docker-ID.scope", "docker"),
    (f"/{USER}/user.slice/docker-ID.scope", "docker"),
    ("/docker.slice:docker:ID", "docker"),
    ("/jobs/ID", ""),  # --cgroup-parent /jobs
    ("/ID", ""),  # before Docker 1.0, and from inside a cgroup namespace
    # Kubernetes
    (f"/{QOS}/cri-containerd-ID.scope", "containerd"),
    (f"/{QOS}/crio-ID.scope", "cri-o"),
    (f"/{QOS}/docker-ID.scope", "docker"),
    (f"/kubelet.slice/kubelet-{QOS}/cri-containerd-ID.scope", "containerd"),
    (f"/kubepods/burstable/pod{UID}/ID", ""),
    (f"/kubepods/besteffort/pod{UID}/crio-ID", "cri-o"),
    (f"/kubepods/pod{TASK}/ID", ""),  # a static pod
    (f"/kubepods-besteffort-pod{UID.replace('-', '_')}.slice:cri-containerd:ID", "containerd"),
    ("/system.slice/containerd.service/kubepods-pod1.slice:cri-containerd:ID", "containerd"),
    # containerd by itself
    ("/k8s.io/ID", "containerd"),
    ("/moby/ID", "containerd"),
    ("/default/ID", "containerd"),
    ("/buildfarm/ID", ""),
    ("/system.slice:containerd:ID", "containerd"),
    ("/system.slice/nerdctl-ID.scope", "containerd"),
    # Podman
    ("/machine.slice/libpod-ID.scope", "podman"),
    ("/machine.slice/libpod-ID.scope/container", "podman"),
    (f"/machine.slice/machine-libpod_pod_{OTHER}.slice/libpod-ID.scope/container", "podman"),
    ("/libpod_parent/libpod-ID", "podman"),
    (f"/libpod_parent/libpod_pod_{OTHER}/libpod-ID", "podman"),
    (f"/{USER}/user.slice/libpod-ID.scope/container", "podman"),
    (f"/{USER}/user.slice/user-libpod_pod_{OTHER}.slice/libpod-ID.scope", "podman"),
    ("/system.slice/web.service/libpod-payload-ID", "podman"),  # Quadlet
    # Amazon
    (f"/ecs/{TASK}/ID", ""),
]

NAMED = [
    ("/machine.slice/systemd-nspawn@web.service", "web", "systemd-nspawn"),
    ("/machine.slice/systemd-nspawn@web.service/payload/system.slice/cron.service", "web", "systemd-nspawn"),
    ("/machine.slice/systemd-nspawn@my-box.service/payload/init.scope", "my-box", "systemd-nspawn"),
    ("/machine.slice/machine-web.scope", "web", "systemd-nspawn"),
    (r"/machine.slice/machine-my\x2dbox.example.scope/payload", "my-box.example", "systemd-nspawn"),
    (r"/machine.slice/machine-lxc\x2d1\x2dweb.scope", "lxc-1-web", ""),
    ("/lxc/web", "web", "lxc"),
    ("/lxc/100/ns/system.slice/ssh.service", "100", "lxc"),
    ("/lxc.payload/web", "web", "lxc"),
    ("/lxc.payload.web/init.scope", "web", "lxc"),
    ("/lxc.payload.project_web.1", "project_web.1", "lxc"),
    (f"/ecs/{TASK}/{TASK}-2532839421", f"{TASK}-2532839421", ""),
    (f"/ecs/cluster/{TASK}/{TASK}-1", f"{TASK}-1", ""),
]

ON_THE_HOST = [
    "",
    "/",
    "//",
    "/..",
    "/init.scope",
    "/system.slice/docker.service",
    "/system.slice/containerd.service",
    "/system.slice/crio.service",
    "/system.slice/buildkit.service",
    "/system.slice/buildkit.service/1x2c3v4b5n6m7q8w9e0r1t2y3",
    "/docker",
    "/docker/buildkit/1x2c3v4b5n6m7q8w9e0r1t2y3",
    "/user.slice/user-1000.slice/session-4.scope",
    f"/{USER}/app.slice/app-org.gnome.Terminal.slice/vte-spawn-{UID}.scope",
    f"/{USER}/app.slice/docker-desktop.service",
    f"/{USER}/user.slice/podman-1234.scope",
    f"/{USER}/user.slice/podman-pause-4f797c53.scope",
    "/system.slice/run-r4f797c539e6c745de61a93ca3ff89235.scope",
    f"/{USER}/app.slice/snap.firefox.firefox-{UID}.scope",
    "/machine.slice",
    f"/machine.slice/libpod-conmon-{ID}.scope",
    f"/libpod_parent/libpod-conmon-{ID}",
    f"/machine.slice/machine-libpod_pod_{ID}.slice",
    f"/system.slice/{ID}.service",  # Podman's health check
    f"/system.slice/{ID}-1f2e3d4c.timer",
    f"/{QOS}",
    f"/{QOS}/crio-conmon-{ID}.scope",
    f"/kubepods/burstable/pod{UID}",
    f"/kubepods/burstable/pod{TASK}",
    f"/kata_overhead/{ID}",
    r"/machine.slice/machine-qemu\x2d3\x2dvm.scope/libvirt/emulator",
    "/machine.slice/machine-qemu-vm.scope",
    r"/machine.slice/machine-xen\x2d1\x2dvm.scope",
    "/machine.slice/systemd-nspawn@web.service/supervisor",
    "/machine.slice/machine-web.scope/supervisor",
    r"/machine.slice/machine-a\x2fb.scope",
    "/machine.slice/machine-.scope",
    "/machine.slice/systemd-nspawn@.service",
    "/lxc",
    "/lxc/",
    "/lxc.monitor.web",
    "/lxc.monitor/web",
    "/lxc.pivot",
    "/system.slice/lxc.service",
    "/system.slice/lxcfs.service",
    f"/ecs/{TASK}",
    f"/ecs/{TASK[::-1]}/{TASK}-1",
    f"/process_api/{TASK}",
    f"/docker/{ID[:-1]}",
    f"/docker/{ID}0",
    f"/docker/{ID.upper()}",
    f"/docker/{ID}\n",
    f"/docker/{ID[:-1]}g",
    f"/docker/{ID[:-1]}٣",  # a digit, but not of these
    f"/docker/{ID[:12]}",
    f"/system.slice/docker-{ID}",
    f"/system.slice/docker-{ID[:12]}.scope",
    f"/system.slice/xdocker-{ID}.scope",
    f"/system.slice/docker-{ID}.scope.d",
    f"/system.slice:unknown:{ID}",
]


@pytest.mark.parametrize(("path", "runtime"), FORMS)
def test_what_runtimes_make_is_found(path: str, runtime: str) -> None:
    assert container_of(path.replace("ID", ID)) == Container(ID, runtime)


@pytest.mark.parametrize(("path", "name", "runtime"), NAMED)
def test_containers_with_names_are_found(path: str, name: str, runtime: str) -> None:
    assert container_of(path) == Container(name, runtime)


@pytest.mark.parametrize("path", ON_THE_HOST)
def test_nothing_else_is_taken_for_a_container(path: str) -> None:
    assert container_of(path) is None


@pytest.mark.parametrize("below", ["/init.scope", "/system.slice/cron.service", "/container", "/docker", "/supervisor"])
def test_what_lies_below_a_container_belongs_to_it(below: str) -> None:
    assert container_of(f"/docker/{ID}{below}") == Container(ID, "docker")


@pytest.mark.parametrize(
    "inner",
    [
        f"/docker/{OTHER}",
        f"/system.slice/docker-{OTHER}.scope",
        f"/kubelet/{QOS}/cri-containerd-{OTHER}.scope",
        f"/kubepods/besteffort/pod{UID}/{OTHER}",
        "/machine.slice/machine-web.scope",
    ],
)
def test_of_nested_containers_the_one_this_hosts_runtime_knows_is_told(inner: str) -> None:
    assert container_of(f"/docker/{ID}{inner}") == Container(ID, "docker")
    assert container_of(f"/system.slice/docker-{ID}.scope{inner}") == Container(ID, "docker")


def test_containers_in_a_machine_belong_to_the_machine() -> None:
    path = f"/machine.slice/systemd-nspawn@web.service/payload/system.slice/docker-{ID}.scope"
    assert container_of(path) == Container("web", "systemd-nspawn")


@pytest.mark.parametrize("above", ["/..", "/../..", "/../../../.."])
@pytest.mark.parametrize(("path", "runtime"), [("/docker/ID", "docker"), ("/ID", ""), ("/crio-ID.scope", "cri-o")])
def test_paths_as_a_cgroup_namespace_shows_them_are_understood(above: str, path: str, runtime: str) -> None:
    assert container_of(above + path.replace("ID", ID)) == Container(ID, runtime)


def test_a_cgroup_that_was_removed_is_still_that_containers() -> None:
    assert container_of(f"/docker/{ID} (deleted)") == Container(ID, "docker")


# Properties.

_forms = st.sampled_from([path for path, _ in FORMS])
_ids = st.text("0123456789abcdef", min_size=64, max_size=64)
_PARTS = (
    "/ .. docker docker- .scope libpod- .slice :cri-containerd: systemd-nspawn@ .service machine- lxc lxc.payload. "
    "supervisor \\x2d -1"
)
_words = st.sampled_from([*_PARTS.split(), ID, ID[:63], TASK, " (deleted)", "\0", "\n", "é"])


@given(_forms, _ids)
def test_every_form_is_found_for_any_id(form: str, container_id: str) -> None:
    found = container_of(form.replace("ID", container_id))
    assert found is not None
    assert found.id == container_id


@given(st.text())
def test_no_text_raises(text: str) -> None:
    container_of(text)


@given(st.lists(_words, max_size=12).map("".join))
def test_what_is_found_stands_in_the_path(path: str) -> None:
    found = container_of(path)
    if found is not None:
        assert found.id in path.replace("\\x2d", "-")
        assert found.runtime in {"", "docker", "containerd", "cri-o", "podman", "systemd-nspawn", "lxc"}


@pytest.mark.parametrize("part", ["/", "a", "0", "\\x2d", "machine-", "lxc/", ".slice:", "systemd-nspawn@", "a:"])
def test_a_path_of_a_megabyte_is_looked_at_once(part: str) -> None:
    """The kernel gives no longer ones than 4,096 bytes. What is quadratic would not come back within a test's time."""
    container_of(part * (1_000_000 // len(part)))
