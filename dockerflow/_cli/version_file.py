"""What a build knows of itself, for ``version.json``: from CI variables, else from git.

The keys are those of the Dockerflow specification: ``source``, a URL of the
repository; ``version``, a tag; ``commit``, a hash; ``build``, a URL of the
CI job. What git is asked runs no program that the repository names: see ``repository``.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from dockerflow._request.public_url import public_url

from .repository import Repository

__all__ = ["KEYS", "UnknownCommitError", "describe", "render", "write"]

#: The keys of a version file, in the order of the specification.
KEYS: Final = ("source", "version", "commit", "build")

_Contents = dict[str, str]

# A variable that only this CI sets, and where it has what; the first that is set counts.
_SERVICES: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "GITHUB_ACTIONS": {
        "source": ("{GITHUB_SERVER_URL}/{GITHUB_REPOSITORY}",),
        "version": (),
        "commit": ("{GITHUB_SHA}",),
        "build": ("{GITHUB_SERVER_URL}/{GITHUB_REPOSITORY}/actions/runs/{GITHUB_RUN_ID}",),
    },
    "CIRCLECI": {
        "source": (
            "{CIRCLE_REPOSITORY_URL}",
            "https://github.com/{CIRCLE_PROJECT_USERNAME}/{CIRCLE_PROJECT_REPONAME}",
        ),
        "version": ("{CIRCLE_TAG}",),
        "commit": ("{CIRCLE_SHA1}",),
        "build": ("{CIRCLE_BUILD_URL}",),
    },
    "TASK_ID": {
        "source": (),
        "version": (),
        "commit": (),
        "build": ("{TASKCLUSTER_ROOT_URL}/tasks/{TASK_ID}",),
    },
    "GITLAB_CI": {
        "source": ("{CI_PROJECT_URL}",),
        "version": ("{CI_COMMIT_TAG}",),
        "commit": ("{CI_COMMIT_SHA}",),
        "build": ("{CI_JOB_URL}", "{CI_PIPELINE_URL}"),
    },
    "BUILDKITE": {
        "source": ("{BUILDKITE_REPO}",),
        "version": ("{BUILDKITE_TAG}",),
        "commit": ("{BUILDKITE_COMMIT}",),
        "build": ("{BUILDKITE_BUILD_URL}",),
    },
    "TRAVIS": {
        "source": ("https://github.com/{TRAVIS_REPO_SLUG}",),
        "version": ("{TRAVIS_TAG}",),
        "commit": ("{TRAVIS_COMMIT}",),
        "build": ("{TRAVIS_BUILD_WEB_URL}",),
    },
    "JENKINS_URL": {
        "source": ("{GIT_URL}",),
        "version": ("{TAG_NAME}",),
        "commit": ("{GIT_COMMIT}",),
        "build": ("{BUILD_URL}",),
    },
}

# The variables of a Taskcluster task begin with its project: MYPROJECT_HEAD_REV.
_TASKCLUSTER: Final = {
    "source": "_HEAD_REPOSITORY",
    "version": "_HEAD_TAG",
    "commit": "_HEAD_REV",
}

_GIT: Final = {
    "source": ("config", "--get", "remote.origin.url"),
    "version": ("describe", "--tags", "--always"),
    "commit": ("rev-parse", "--verify", "HEAD"),
}

_SSH: Final = re.compile(r"(?:ssh://)?(?:[^@/\s]+@)?([\w.-]+\.[\w-]+)(?::\d+/|[:/])(?!//)(.+)")


class UnknownCommitError(LookupError):
    """Neither the environment nor git says what is being built."""


def describe(folder: Path, environ: Mapping[str, str], given: Mapping[str, str]) -> _Contents:
    """Give the contents of a version file; what is not known is an empty text.

    ``given`` counts first, then what the CI has set in ``environ``, then what
    git says of ``folder``. Raises ``UnknownCommitError`` where there is no commit.
    """
    contents = {key: given.get(key) or _from_ci(key, environ) for key in KEYS}
    # A tag belongs to its commit: where CI names the commit and no tag, there is none.
    unknown = [
        key for key in _GIT if not contents[key] and not (key == "version" and contents["commit"])
    ]
    repository = Repository(folder)
    for key in unknown:
        contents[key] = repository.ask(*_GIT[key])
    if not contents["commit"]:
        raise UnknownCommitError(
            f"there is no commit: no variable of a known CI is set, and {repository.trouble}; "
            "give it with --commit"
        )
    return {
        **contents,
        "source": _public(contents["source"]),
        "build": public_url(contents["build"]),
    }


def render(contents: Mapping[str, str]) -> str:
    """Give the text of a version file."""
    return f"{json.dumps(contents, indent=2)}\n"


def write(text: str, path: Path) -> None:
    """Write a file at once: whoever reads it sees all of it, or the former one."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        # A temporary file is its owner's alone; a service runs as somebody else.
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _from_ci(key: str, environ: Mapping[str, str]) -> str:
    for mark, contents in _SERVICES.items():
        if not environ.get(mark):
            continue
        if mark == "GITHUB_ACTIONS" and key == "version":
            is_tag = environ.get("GITHUB_REF_TYPE") == "tag"
            return environ.get("GITHUB_REF_NAME", "") if is_tag else ""
        if mark == "TASK_ID" and key in _TASKCLUSTER:
            found = {name for name in environ if name.endswith(_TASKCLUSTER[key])}
            return environ[found.pop()] if len(found) == 1 else ""
        return next(filter(None, (_filled(each, environ) for each in contents[key])), "")
    return ""


def _filled(template: str, environ: Mapping[str, str]) -> str:
    names = re.findall(r"\{(\w+)\}", template)
    return template.format_map(environ) if all(environ.get(name) for name in names) else ""


def _public(source: str) -> str:
    """Give a repository's URL as people open it, without credentials."""
    source = public_url(source)
    if "://" not in source or source.startswith("ssh://"):
        matched = _SSH.fullmatch(source)
        if matched is None:
            return source
        source = f"https://{matched[1]}/{matched[2]}"
    return source.removesuffix(".git")
