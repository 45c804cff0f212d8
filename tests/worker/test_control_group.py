"""Where a control group with a CPU quota can be made, in cgroup v1 and v2, and what is said if nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from collagebench.errors import FleetError
from collagebench.worker.control_group import Place, find


def tree(top: Path, *groups: str, handing_on: str = "") -> None:
    """Make directories like control groups; those from the top to `handing_on` hand the controller on to children."""
    for group in ("", *groups):
        (top / group).mkdir(parents=True, exist_ok=True)
        (top / group / "cgroup.procs").touch()
        hands_on = handing_on == group or (handing_on + "/").startswith(group + "/" if group else "")
        (top / group / "cgroup.subtree_control").write_text("cpu memory\n" if hands_on else "memory\n")


def mount(top: Path, kind: str, options: str, root: str = "/") -> str:
    """Return one line of /proc/self/mountinfo."""
    return f"36 35 0:30 {root} {top} rw,nosuid shared:9 - {kind} cgroup rw,{options}\n"


def test_version_1_makes_groups_inside_our_own(tmp_path: Path) -> None:
    """In cgroup v1, groups are made inside this process's own, in the hierarchy with the CPU controller."""
    tree(tmp_path / "cpu", "user/me")
    cgroups = "3:cpuset:/\n2:cpu,cpuacct:/user/me\n1:name=systemd:/x\n0::/\n"
    mounts = mount(tmp_path / "unified", "cgroup2", "nsdelegate") + mount(tmp_path / "cpu", "cgroup", "cpu,cpuacct")
    assert find(cgroups, mounts) == Place(1, tmp_path / "cpu" / "user" / "me")


def test_version_2_makes_groups_where_the_controller_is_handed_on(tmp_path: Path) -> None:
    """In cgroup v2, groups are made in the nearest group above this process's own that hands the controller on."""
    tree(tmp_path, "user", "user/app", "user/app/me", handing_on="user/app")
    assert find("0::/user/app/me\n", mount(tmp_path, "cgroup2", "nsdelegate")) == Place(2, tmp_path / "user" / "app")


def test_a_mount_of_part_of_the_hierarchy_is_understood(tmp_path: Path) -> None:
    """In a container, where only its own group is mounted, the path is found relative to that."""
    tree(tmp_path, "me", handing_on="")
    mounts = mount(tmp_path, "cgroup2", "nsdelegate", root="/docker/1f")
    assert find("0::/docker/1f/me\n", mounts) == Place(2, tmp_path)


def test_where_the_controller_is_not_handed_on_the_sentence_says_what_to_do(tmp_path: Path) -> None:
    """If no group hands the controller on, the error names the group and what to do."""
    tree(tmp_path, "user/me", handing_on="none")
    (tmp_path / "cgroup.subtree_control").write_text("memory\n")
    with pytest.raises(
        FleetError, match=r"no control group can be created in .*/user/me; be root, or start it with .* or"
    ):
        find("0::/user/me\n", mount(tmp_path, "cgroup2", "nsdelegate"))


@pytest.mark.parametrize("cgroups", ["", "1:name=systemd:/x\n", "0::/me\n"])
def test_without_a_cpu_controller_the_sentence_says_what_to_do(cgroups: str) -> None:
    """If no hierarchy is mounted, or this process is in no group, the error says what to do."""
    with pytest.raises(FleetError, match="control groups have no CPU controller; be root, or"):
        find(cgroups, "")
