"""The made-up scripts of the sample tenant: two legacy Rules and two Actions of its own.

They are what many tenants have: Rules that once decided which picture people see, which have
stopped with the end of Rules, and Actions that have nothing to do with pictures.
"""

from collections.abc import Mapping
from typing import Any

_OWN_PICTURE = """\
function ownPicture(user, context, callback) {
  // Whoever has uploaded a picture is shown with it.
  const uploaded = user.user_metadata && user.user_metadata.picture;
  if (uploaded) {
    user.picture = uploaded;
  }
  callback(null, user, context);
}
"""

_HOUSE_PLACEHOLDER = """\
function housePlaceholder(user, context, callback) {
  // Whoever has no Gravatar is shown with the house's placeholder instead of initials.
  const { URL } = require('url');
  if (user.picture && user.picture.includes('gravatar.com/avatar/')) {
    const address = new URL(user.picture);
    address.searchParams.set('d', 'https://www.example.com/placeholder.png');
    user.picture = address.href;
  }
  callback(null, user, context);
}
"""

_ROLE = """\
exports.onExecutePostLogin = async (event, api) => {
  const { role = 'member' } = event.user.app_metadata || {};
  api.idToken.setCustomClaim('https://www.example.com/role', role);
};
"""

_COUNTRIES = """\
const CLOSED = new Set(['AQ', 'BV']);

exports.onExecutePostLogin = async (event, api) => {
  const country = event.request && event.request.geoip && event.request.geoip.countryCode;
  if (CLOSED.has(country)) {
    api.access.deny('This service is not available in your country.');
  }
};
"""

RULES: tuple[Mapping[str, Any], ...] = (
    {"name": "Picture from the profile page", "script": _OWN_PICTURE, "enabled": True},
    {"name": "Placeholder for Gravatar", "script": _HOUSE_PLACEHOLDER, "enabled": True},
)
"""For `Sandbox(rules=…)`, in the order in which they run."""

ACTIONS: tuple[Mapping[str, Any], ...] = (
    {"name": "Add role to tokens", "code": _ROLE},
    {"name": "Closed countries", "code": _COUNTRIES},
)
"""For `Sandbox(actions=…)`: deployed and bound, in this order."""
