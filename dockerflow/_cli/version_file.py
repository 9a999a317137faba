"""Writes ``version.json`` in a build, from CI variables or from git.

The keys are those of the Dockerflow specification: ``source``, a URL of the repository;
``version``, a tag; ``commit``, a hash; ``build``, a URL of the CI job.
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

# By a variable that only one CI sets: templates for each key. The first complete one counts.
_SERVICES: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "GITHUB_ACTIONS": {
        "source": ("{GITHUB_SERVER_URL}/{GITHUB_REPOSITORY}",),
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

# The suffixes of a Taskcluster task's variables, whose prefix is the project: SHOP_HEAD_REV.
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
    """Neither the environment nor git has the commit."""


def describe(folder: Path, environ: Mapping[str, str], given: Mapping[str, str]) -> _Contents:
    """Return the contents of a version file.

    Args:
        folder: A folder in the git repository, which counts last.
        environ: The environment, in which the CI has set variables.
        given: Values by key, which count first.

    Returns:
        The contents. An unknown value is an empty text.

    Raises:
        UnknownCommitError: There is no commit.
    """
    contents = {key: given.get(key) or _from_ci(key, environ) for key in KEYS}
    # A tag belongs to its commit. If the CI has the commit and no tag, there is no tag.
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
    """Return the text of a version file."""
    return f"{json.dumps(contents, indent=2)}\n"


def write(text: str, path: Path) -> None:
    """Replace a file atomically, so that a reader sees the old or the new one as a whole."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        # Only its owner can read a temporary file, and a service runs as another user.
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
        return next(filter(None, (_filled(each, environ) for each in contents.get(key, ()))), "")
    return ""


def _filled(template: str, environ: Mapping[str, str]) -> str:
    names = re.findall(r"\{(\w+)\}", template)
    return template.format_map(environ) if all(environ.get(name) for name in names) else ""


def _public(source: str) -> str:
    """Return the URL of a repository for a browser, without credentials."""
    source = public_url(source)
    if "://" not in source or source.startswith("ssh://"):
        matched = _SSH.fullmatch(source)
        if matched is None:
            return source
        source = f"https://{matched[1]}/{matched[2]}"
    return source.removesuffix(".git")
