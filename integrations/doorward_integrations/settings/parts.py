"""The parts of a door, made of its settings: issuers, audiences, verifier, policy, end users."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from doorward import (
    IAP,
    CloudRunAudience,
    DenyPolicy,
    InvokerPolicy,
    Issuer,
    KeyCache,
    Verifier,
    WatchedPolicy,
)
from doorward.audiences.audience import Audience
from doorward.audiences.iap import iap_cloud_run_audience
from doorward.audiences.service_detection import ask_for_service
from doorward.door.credentials import CredentialHeaders
from doorward.door.end_user import EndUserSettings
from doorward.issuers.google import EMULATOR_VARIABLE, emulator_in_environment
from doorward.keys.source import KeySource
from doorward_integrations.settings.making import issuer_of, read_object, snapshot_of
from doorward_integrations.settings.values import Values
from doorward_integrations.settings.variables import VARIABLES

__all__ = ["Parts"]

_DETECT: Final = "detect"
_FILES: Final = ("groups", "unique_ids", "project_numbers", "custom_roles", "resource_tags")
_ABOUT_POLICY: Final = (*_FILES, "strict")
_ABOUT_WATCH: Final = ("policy_check_every", "policy_max_stale")
_ABOUT_VERIFIER: Final = ("leeway", "max_token_bytes", "token_cache_size", "accept_gcloud_tokens")
_ABOUT_KEYS: Final = tuple(
    name for name, row in VARIABLES.items() if row.parameter is not None and row.parameter[0] is KeyCache
)
_END_USER: Final = "end_user_"


class Parts:
    """Makes the parts; each issuer and each key cache once, whatever needs it."""

    def __init__(self, values: Values) -> None:
        """Take the settings; nothing is made yet."""
        self._values: Final = values
        self._issuers: Final[dict[str, Issuer]] = {}
        self._key_sources: Final[dict[tuple[str, tuple[str, ...]], KeySource]] = {}

    def issuers(self, setting: str) -> list[Issuer]:
        """Return the issuers that a setting names, or Google.

        Args:
            setting: The name of the setting.

        Raises:
            SettingError: If one of them is not known, or its configuration cannot be fetched.
        """
        return [self._issuer(setting, one) for one in getattr(self._values, setting) or ("google",)]

    def _issuer(self, setting: str, text: str) -> Issuer:
        if text not in self._issuers:
            with self._values.naming(setting):
                self._issuers[text] = issuer_of(text)
        return self._issuers[text]

    def _environ(self) -> dict[str, str]:
        """Return the environment, with the emulator that the settings name, and no other."""
        values = self._values
        environ = dict(values.environ)
        if values.emulator_host is not None:
            environ[EMULATOR_VARIABLE] = values.emulator_host
        with values.naming("emulator_host"):
            emulator_in_environment(environ)
        return environ

    def only_iap(self) -> bool:
        """Return whether Identity-Aware Proxy is the issuer.

        Raises:
            SettingError: If it is one of several: its assertion is in a header of its own.
        """
        issuers = self.issuers("issuer")
        if any(one is IAP for one in issuers) and len(issuers) > 1:
            raise self._values.mistake(
                "iap stands alone, since its assertion is in a header of its own: make a door for each",
                "issuer",
            )
        return issuers == [IAP]

    def verifier(self) -> Verifier:
        """Make the verifier of the callers."""
        values = self._values
        issuers = self.issuers("issuer")
        only_iap = self.only_iap()
        audience, environ = self._audience(issuers, only_iap=only_iap), self._environ()
        about = ("audience", "cloud_run", "issuer", "accept_gcloud_tokens")
        with values.naming(*about):
            return Verifier(
                audience,
                issuers=issuers,
                key_cache=self._key_source,
                environ=environ,
                **values.given(*_ABOUT_VERIFIER, "clock"),
            )

    def _audience(self, issuers: Sequence[Issuer], *, only_iap: bool) -> list[str | Audience] | None:
        values = self._values
        named = values.audience
        if not named and not values.cloud_run:
            if all(issuer.audiences for issuer in issuers):
                return None
            if not values.environ.get("K_SERVICE"):
                raise values.mistake(
                    "an audience is needed, the URL of the service, or a token for any other service would "
                    "be accepted",
                    "audience",
                )
            named = (_DETECT,)
        found: list[str | Audience] = [one for one in named if one != _DETECT]
        if values.cloud_run:
            with values.naming("cloud_run"):
                found.append(CloudRunAudience(values.cloud_run))
        if _DETECT in named:
            with values.naming("audience"):
                found.append(self._detect(only_iap=only_iap))
        return found

    def _detect(self, *, only_iap: bool) -> str | Audience:
        environ = self._values.environ
        if not only_iap:
            return CloudRunAudience.detect(environ=environ)
        service = ask_for_service(environ)
        return iap_cloud_run_audience(service.project_number, service.region, service.name)

    def _key_source(self, issuer: Issuer) -> KeySource:
        key = issuer.key_url, issuer.algorithms
        if key not in self._key_sources:
            self._key_sources[key] = self._make_key_source(issuer)
        return self._key_sources[key]

    def _make_key_source(self, issuer: Issuer) -> KeySource:
        values = self._values
        if values.key_cache is not None:
            return values.key_cache(issuer)
        settings: dict[str, Any] = values.given(*_ABOUT_KEYS, prefix="key_")
        settings |= values.given("key_listener", "clock", prefix="key_")
        if values.key_snapshots is not None:
            with values.naming("key_snapshots"):
                settings["snapshot"] = snapshot_of(values.key_snapshots, issuer)
        with values.naming("issuer"):
            return KeyCache(issuer.key_url, issuer.algorithms, **settings)

    # The policy.

    def policy(self) -> InvokerPolicy | WatchedPolicy:
        """Make the policy, or what follows its file."""
        values = self._values
        if not (values.policy or values.members or values.users_of):
            raise values.mistake(
                f"a policy is needed: {values.name_of('policy')} names its file, {values.name_of('members')} "
                "those who may invoke",
                *(_ABOUT_POLICY if values.given(*_ABOUT_POLICY) else ("policy",)),
            )
        if not (values.policy or values.members) and values.given(*_ABOUT_POLICY):
            raise values.mistake(
                f"there is no policy that this could be about: {values.name_of('policy')} names its file",
                *_ABOUT_POLICY,
            )
        settings = self._policy_settings()
        if values.policy_watch:
            return self._watched(settings)
        if about := values.given("policy_watch", *_ABOUT_WATCH).keys() - {"policy_watch"}:
            raise values.mistake(
                f"there is no watched policy: {values.name_of('policy_watch')} has its file followed",
                *sorted(about),
            )
        own = [self._one_policy(one, settings) for one in values.policy]
        return self._completed(own, settings)

    def _policy_settings(self) -> dict[str, Any]:
        values = self._values
        settings: dict[str, Any] = values.given("strict")
        for one, path in values.given(*_FILES).items():
            with values.naming(one):
                settings[one] = read_object(path)
        return settings

    def _one_policy(self, text: str, settings: dict[str, Any]) -> InvokerPolicy:
        with self._values.naming("policy"):
            if text[:1] in ("{", "["):
                return InvokerPolicy.from_json(text, **settings)
            return InvokerPolicy.from_file(text, **settings)

    def _completed(self, own: list[InvokerPolicy], settings: dict[str, Any]) -> InvokerPolicy:
        """Join what the settings grant besides the files, and put the deny policies before it."""
        values = self._values
        policies = list(own)
        if values.members:
            with values.naming("members"):
                policies.append(InvokerPolicy.from_members(values.members, **settings))
        if values.users_of:
            policies.append(self._users_of())
        with values.naming("policy", "members", "users_of"):
            policy = policies[0] if len(policies) == 1 else InvokerPolicy.join(*policies)
        if not values.deny_policy:
            return policy
        with values.naming("deny_policy"):
            return policy.with_deny(*map(DenyPolicy.from_file, values.deny_policy))

    def _users_of(self) -> InvokerPolicy:
        values = self._values
        for one in values.users_of:
            if one not in (values.issuer or ("google",)):
                raise values.mistake(
                    f"{one} is no accepted issuer: name it in {values.name_of('issuer')} too", "users_of"
                )
        with values.naming("users_of"):
            return InvokerPolicy.users_of(*self.issuers("users_of"))

    def _watched(self, settings: dict[str, Any]) -> WatchedPolicy:
        values = self._values
        if len(values.policy) != 1 or values.policy[0][:1] in ("{", "[") or values.deny_policy:
            raise values.mistake(
                f"one policy file is followed, and no other: {values.name_of('policy')} must name one file, "
                f"without {values.name_of('deny_policy')}",
                "policy_watch",
            )
        (path,) = values.policy
        load: Callable[[object], InvokerPolicy] = lambda _: self._completed(  # noqa: E731 - it is typed so
            [InvokerPolicy.from_file(path, **settings)], settings
        )
        about = values.given(*_ABOUT_WATCH, prefix="policy_") | values.given(
            "policy_listener", "clock", prefix="policy_"
        )
        with values.naming("policy"):
            return WatchedPolicy(path, load=load, **about)

    # The end user.

    def end_users(self) -> EndUserSettings:
        """Make what a door is given of end users; empty if nothing is said of them."""
        values = self._values
        about = tuple(name for name in VARIABLES if name.startswith(_END_USER))
        if not values.given(*about):
            return {}
        issuers = self.issuers("end_user_issuer")
        if not values.end_user_audience and not all(one.audiences for one in issuers):
            raise values.mistake(
                f"{values.name_of('end_user_audience')} is needed, whom the token of the user is made for",
                *about,
            )
        environ = self._environ()
        found: EndUserSettings = {"end_user_required": values.end_user_required or False}
        with values.naming("end_user_audience", "end_user_issuer"):
            found["end_user"] = Verifier(
                values.end_user_audience or None,
                issuers=issuers,
                key_cache=self._key_source,
                environ=environ,
                **values.given("leeway", "max_token_bytes", "token_cache_size", "clock"),
            )
        if not values.end_user_callers:
            raise values.mistake(
                f"{values.name_of('end_user_callers')} is needed, whose word on the user is taken",
                *about,
            )
        found["end_user_callers"] = values.end_user_callers
        if values.end_user_header is not None:
            header = values.end_user_header.lower()
            if not header.isascii() or not header.replace("-", "").isalnum():
                raise values.mistake(f"{header!r} is not the name of a header", "end_user_header")
            found["end_user_credential"] = CredentialHeaders(header.encode(), scheme=False)
        return found
