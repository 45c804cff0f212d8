"""Invalid profiles: one sentence with the file and the line of what is wrong."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
from click.testing import CliRunner

from collagebench.cli import cli
from collagebench.cli.resolve import resolve
from collagebench.cli.values import number_of_answers
from collagebench.config import Config
from collagebench.errors import UsageError
from collagebench.read_profile import SECONDS, SHARES, read_profile


def refused(tmp_path, text, *options):
    """Return the message with which `simulate` refuses a profile, without the profile's directory."""
    path = tmp_path / "p.toml"
    path.write_text(text, encoding="utf-8")
    small = ["--requests", "20", "--compute-time", "0.001"]
    done = CliRunner().invoke(
        cli, ["simulate", "--profile", str(path), "--out", str(tmp_path / "out"), *small, *map(str, options)]
    )
    assert isinstance(done.exception, UsageError), done.output
    assert not (tmp_path / "out").exists()
    sentence = str(done.exception)
    assert "\n" not in sentence
    return sentence.replace(f"{tmp_path}/", "")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("\nworker = 5", "profile p.toml, line 2: unknown key 'worker'; did you mean 'workers'?"),
        ('runs = 1\nout = "a"', "profile p.toml, line 2: out is not part of an experiment: --out is an option of"),
        (
            "hedge_delay = 3",
            "profile p.toml, line 1: hedge-delay is an option of hedge or hedge-idle: it belongs in the [[scheme]]",
        ),
        ("runs = 1\n\n[farm]\nworkers = 3", "profile p.toml, line 3: unknown key 'farm'"),
        (
            f"runs = 1\n{'a.' * 30_000}a = 1",
            "profile p.toml, line 2: this is no key of a profile: it has more",
        ),
        (
            "[a" + '."a"' * 30_000 + "]",
            "profile p.toml, line 1: this is no key of a profile: it has more than 100",
        ),
        ("runs = 1\nslow.share = 0.1", "profile p.toml, line 2: unknown key 'slow'"),
        ("# one\nruns = 'many'", "profile p.toml, line 2: runs must be a whole number, not 'many'"),
        ("runs = 2.5", "profile p.toml, line 1: runs must be a whole number, not 2.5"),
        ("accuracy = 'some'", "profile p.toml, line 1: accuracy must be all, none or a whole number, not 'some'"),
        ("runs = true", "profile p.toml, line 1: runs must be a whole number, not True"),
        ("\ndownload = 'yes'", "profile p.toml, line 2: download must be true or false, not 'yes'"),
        (f"rate = {'9' * 5000}", "profile p.toml cannot be read: a number in it has thousands of digits"),
        (f"runs = 0x{'9' * 5000}", "profile p.toml cannot be read: a number in it has thousands of digits"),
        (f"\nrate = {'9' * 400}", "profile p.toml, line 2: --rate must be a number above 0, not inf"),
        ("data = 5", "profile p.toml, line 1: data must be a path, not 5"),
        ('hosts = "a\\u0000"', "profile p.toml, line 1: hosts names a file with a null"),
        ('stragglers = "./a\\u0000"', "profile p.toml, line 1: stragglers names a file with a null"),
        (
            '[[scheme]]\nname = "hedge"\nhedge-log = "a\\u0000"',
            "profile p.toml, line 3: hedge-log names a file with a null",
        ),
        ("compute = 5", "profile p.toml, line 1: compute must be a string, not 5"),
        ("description = 5", "profile p.toml, line 1: description must be a string"),
        ("runs = 1\nscheme = 5", "profile p.toml, line 2: schemes are written as [[scheme]] tables"),
        ("[scheme]\nname = 'none'", "profile p.toml, line 1: schemes are written as [[scheme]] tables"),
        ("[[scheme]]\nname='none'\n[[scheme]]\ngrid=3", "profile p.toml, line 3: every [[scheme]] table needs a name"),
        ("[[scheme]]\nname='none'\nvariant = 3", "profile p.toml, line 3: variant must be a string, not 3"),
    ],
)
def test_keys_and_types(tmp_path, text, sentence):
    """An unknown key and a value of a wrong type are named with their line."""
    assert refused(tmp_path, text).startswith(sentence)


def test_a_text_with_many_dots_is_no_key(tmp_path):
    """A description of hundreds of sentences is read as it is."""
    text = "It has two words. " * 300
    (tmp_path / "p.toml").write_text(f'description = "{text}"\n')
    assert read_profile(tmp_path / "p.toml").description == text


@pytest.mark.parametrize(
    ("text", "line", "hint"),
    [
        ("deadline = '200ms'", 1, "write it in seconds and without quotes, 0.2"),
        ("deadline = '1.5 min'", 1, "write it in seconds and without quotes, 90"),
        ("\n\nslo = '0.05s'", 3, "write it in milliseconds and without quotes, 50"),
        ("persistence = '250 us'", 1, "write it in seconds and without quotes, 0.00025"),
        ("slow-share = '5 %'", 1, "write it as a share, 0.05"),
        ("rate = '50'", 1, "write 50 without quotes"),
    ],
)
def test_units(tmp_path, text, line, hint):
    """A number with its unit in quotes is refused with the number to write."""
    sentence = refused(tmp_path, text)
    assert sentence.startswith(f"profile p.toml, line {line}: ")
    assert "not the string '" in sentence
    assert sentence.endswith(hint)


def test_units_that_make_no_sense(tmp_path):
    """If the unit does not fit the option, such as seconds for a share, no number is proposed."""
    assert refused(tmp_path, "slow-share = '200ms'").endswith("slow-share must be a number, not '200ms'")
    assert refused(tmp_path, "runs = '5 %'").endswith("runs must be a whole number, not '5 %'")


def test_units_of_every_number():
    """The tables of options in seconds and of shares list every such number of a config."""
    without = {"rate", "time_scale", "slow_factor", "shape", "sigma", "machine_sigma", "request_sigma"}
    without |= {"excursion_factor", "burst_factor", "transfer_mb", "pixel_scale", "ray_cpus", "ray_resource"}
    numbers = {field.name for field in fields(Config) if "float" in str(field.type)}
    assert numbers == {*SECONDS, *SHARES, "slo_ms", *without}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("runs = \n", "profile p.toml, line 1: this is not valid TOML: Invalid value"),
        ("runs = 1\nruns = 2", "profile p.toml, line 2: this is not valid TOML: Cannot overwrite a value"),
        ("a = 'x", "profile p.toml, line 1: this is not valid TOML"),
        ("runs = [1,\n\n", "profile p.toml, line 2: this is not valid TOML"),
    ],
)
def test_broken_toml(tmp_path, text, sentence):
    """Invalid TOML is refused with its line at the front of the message, as other errors are."""
    refusal = refused(tmp_path, text)
    assert refusal.startswith(sentence)
    assert "(at " not in refusal


@pytest.mark.parametrize("text", ["a = " + "[" * 5000 + "]" * 5000, "a = " + "{a = " * 5000 + "1" + "}" * 5000])
def test_brackets_without_end(tmp_path, text):
    """A value nested more deeply than Python can read is refused as others are, and is no bug to report."""
    assert refused(tmp_path, text) == "profile p.toml cannot be read: its brackets are nested too deeply"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("runs = 3\nworkers = 0", 2, "--workers must be 1 or more, not 0"),
        ("warmup = 1.5", 1, "--warmup must be a share"),
        ("rate = 5\nutilisation = 0.5", 1, "set the same thing"),
        ("seed = -1\n", 1, "--seed"),
        ("runs = 1\nstragglers = 'collage-tracy'", 2, "'collage-tracy'"),
        ("stragglers = 'fixed'\nslow-workers = 2\nslow-factor = 0.5", 3, "--slow-factor"),
        ("slow-workers = 99\nstragglers = 'fixed'", 1, "--slow-workers must be 0 to 10"),
        (
            "runs = 1\nstragglers = 'collage-trace'\nslow-workers = 2",
            3,
            "has no effect with --stragglers collage-trace",
        ),
        ("runs = 1\narrivals = 'sometimes'", 2, "'sometimes'"),
        ("runs = 1\ndataset = 'mnist'", 2, "'mnist'"),
    ],
)
def test_values(tmp_path, text, line, words):
    """A value out of range, or without effect on the chosen stragglers, is reported with its line."""
    sentence = refused(tmp_path, text)
    assert sentence.startswith(f"profile p.toml, line {line}: ")
    assert words in sentence


TWO = "[[scheme]]\nname = 'none'\n\n[[scheme]]\n"


@pytest.mark.parametrize(
    ("table", "line", "words"),
    [
        ("name = 'colage'", 5, "'colage'"),
        ("variant = 'x'\nname = 'colage'", 6, "'colage'"),
        ("name = 'collage'\nholdd = 3", 6, "no option 'holdd'"),
        ("name = 'collage'\n\nhold = 'soon'", 7, "or auto; not 'soon'"),
        ("name = 'collage'\nhold = '50 ms'", 6, "hold is in seconds, not the string '50 ms': write 0.05"),
        ("name = 'hedge'\nhedge-delay = '200ms'", 6, "hedge-delay is in seconds, not the string '200ms': write 0.2"),
        ("name = 'hedge'\nhedge-delay = 'p200'", 6, "'p200'"),
        ("name = 'replication'\nreplicas = 0", 6, "--replicas must be 1 or more"),
        ("name = 'replication'\nreplicas = 30", 6, "needs 30 workers"),
        ("name = 'collage'\ngrid = 3\nflush-after = 1\nflush = 'wait'", 8, "has no deadline"),
        ("name = 'collage'\ncollage-workers = 10", 4, "none is left for singles"),
        ("name = 'none'", 5, "two schemes are called 'none'"),
        ("name = 'hedge'\nvariant = 'none'", 6, "two schemes are called 'none'"),
        ("name = 'hedge'\nvariant = 'a,b'", 6, "a variant's name"),
        ("name = 'hedge'\nvariant = 'bound'", 6, "a variant's name must not be 'bound'"),
        ('name = "hedge"\nvariant = "a\\u202eb"', 6, "a variant's name"),
    ],
)
def test_schemes(tmp_path, table, line, words):
    """An unknown scheme or option, or a value that a scheme refuses, is reported with its line in the table."""
    sentence = refused(tmp_path, TWO + table)
    assert sentence.startswith(f"profile p.toml, line {line}: ")
    assert words in sentence


@pytest.mark.parametrize(
    ("text", "line", "missing"),
    [
        ("runs = 1\nmodels = 'nowhere'", 2, "models names nowhere"),
        ("dataset = 'imagefolder'\ndata = 'nowhere'", 2, "data names nowhere"),
        ("\nstragglers = 'fleet.json'", 2, "stragglers names fleet.json"),
        (TWO + "name = 'hedge'\nhedge-delay = 'fit'\nhedge-budget = 0.1\nhedge-log = 'log'", 8, "hedge-log names log"),
    ],
)
def test_missing_files(tmp_path, text, line, missing):
    """A file that a profile names, relative to itself, and that does not exist is reported before anything runs."""
    assert refused(tmp_path, text) == f"profile p.toml, line {line}: {missing}, which does not exist"


@pytest.mark.parametrize("name", ["data", "models", "trace", "tls-ca", "hosts", "stragglers", "hedge-log"])
@pytest.mark.parametrize(("file", "words"), [("./\\u0000", "a null character"), ("./loop", "loop")])
def test_what_cannot_be_a_file(tmp_path, name, file, words):
    """A file's name with a null character, and a link to itself, are refused with the line in which they are."""
    (tmp_path / "loop").symlink_to("loop")
    if name == "hedge-log":
        text = f'[[scheme]]\nname = "hedge"\nhedge-delay = "fit"\nhedge-budget = 0.1\nhedge-log = "{file}"'
    else:
        text = f'runs = 1\n{name} = "{file}"'
    sentence = refused(tmp_path, text)
    assert sentence.startswith(f"profile p.toml, line {5 if name == 'hedge-log' else 2}: ")
    assert words in sentence.partition(": ")[2]


def test_a_missing_profile(tmp_path):
    """A missing profile, a device and a file that is not UTF-8 are refused with the reason."""
    with pytest.raises(UsageError, match="profile /dev/null cannot be read: it is not a regular file"):
        read_profile(Path("/dev/null"))
    with pytest.raises(UsageError, match=r"profile .*x\.toml cannot be read: No such file"):
        read_profile(tmp_path / "x.toml")
    (tmp_path / "x.toml").write_bytes(b"description = '\xff'")
    with pytest.raises(UsageError, match="it is not UTF-8 text"):
        read_profile(tmp_path / "x.toml")


def test_the_command_line_is_not_blamed_on_the_profile(tmp_path):
    """An error in a typed option names no line, even if the profile has the same option."""
    good = "workers = 4\nmodels = 'nowhere'\n[[scheme]]\nname = 'collage'\ngrid = 3"
    assert refused(tmp_path, good, "--models", tmp_path, "--workers", 0) == "--workers must be 1 or more, not 0"
    assert refused(tmp_path, good, "--models", tmp_path, "--grid", 99).startswith("--grid")


def test_what_the_command_line_replaces_does_not_matter(tmp_path):
    """An invalid value or a missing file in a profile does not matter if a typed option replaces it."""
    (tmp_path / "p.toml").write_text("workers = 0\nmodels = 'nowhere'\n[[scheme]]\nname = 'none'")
    config = resolve({"profile": str(tmp_path / "p.toml"), "workers": 3, "models": tmp_path})
    assert (config.workers, config.models) == (3, tmp_path)


@pytest.mark.parametrize(
    ("text", "options", "dataset"),
    [
        ("", {}, "shapes"),
        ("", {"data": Path("photos")}, "imagefolder"),
        ("data = 'photos'", {}, "imagefolder"),
        ("dataset = 'cifar10'", {"data": Path("photos")}, "cifar10"),
        ("data = 'photos'", {"dataset": "cifar10"}, "cifar10"),
    ],
)
def test_a_directory_of_images_is_an_imagefolder_unless_another_dataset_is_named(tmp_path, text, options, dataset):
    """`--data` or `data` alone means `imagefolder`, and neither means `shapes`."""
    (tmp_path / "p.toml").write_text(f"{text}\n[[scheme]]\nname = 'none'")
    (tmp_path / "photos").mkdir()
    assert resolve({"profile": str(tmp_path / "p.toml"), **options}).dataset == dataset


@pytest.mark.parametrize("text", ["all", "none"])
def test_words_of_the_command_line(tmp_path, text):
    """`accuracy` in a profile may be `all` or `none`, as on the command line."""
    (tmp_path / "p.toml").write_text(f"accuracy = '{text}'\n[[scheme]]\nname = 'none'")
    assert resolve({"profile": str(tmp_path / "p.toml")}).accuracy == number_of_answers(text)


def test_what_it_says_and_where(tmp_path):
    """A profile has its values by field, paths relative to the file, and a line for every key."""
    (tmp_path / "p.toml").write_text(
        'description = "d"\ntime-scale = 2\ndata = "x"\n[[scheme]]\nname = "none"\nspare = 1\n'
    )
    profile = read_profile(tmp_path / "p.toml")
    assert profile.description == "d"
    assert profile.values["time_scale"] == 2.0
    assert profile.values["data"] == tmp_path / "x"
    assert profile.at("scheme", 0, "spare") == f"profile {tmp_path / 'p.toml'}, line 6"
