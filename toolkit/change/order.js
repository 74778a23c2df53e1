// A picture that the tenant holds elsewhere comes before the default: the twin of
// toolkit/classification/held_elsewhere.py, which says what counts and why.
const ELSEWHERE = CONFIG.elsewhere;
const KEY = new RegExp(`^(?:${ELSEWHERE.key})$`, "i");
const NEEDS_TOKEN = ELSEWHERE.token_only.map((pattern) => new RegExp(pattern, "i"));

function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

// Every picture of somebody but the profile's and the override, in order.
function placesOf(user) {
  const metadata = isObject(user.user_metadata) ? user.user_metadata : {};
  const word = (key) => ELSEWHERE.words.findIndex((one) => key.toLowerCase().includes(one));
  const keys = Object.keys(metadata).filter((key) => KEY.test(key));
  keys.sort((one, two) => word(one) - word(two) || (one < two ? -1 : 1));
  const identities = Array.isArray(user.identities) ? user.identities.filter(isObject) : [];
  const linked = identities.slice(1).map(({ profileData }) => profileData);
  return [
    ...keys.map((key) => metadata[key]),
    ...linked.filter(isObject).map(({ picture }) => picture),
    user[ELSEWHERE.thumbnail],
  ];
}

// Whether an address alone shows somebody's own picture for as long as nobody replaces it.
function isOwn(address) {
  const { source, secure, expires } = judged(address);
  const own = secure && ["social", "enterprise", "custom"].includes(source);
  return own && expires === Infinity && !NEEDS_TOKEN.some((pattern) => pattern.test(address));
}

function pictureElsewhere(user) {
  const shown = [user.picture, user.user_metadata?.picture];
  const fits = (one) => typeof one === "string" && !shown.includes(one) && isOwn(one);
  const found = placesOf(user).find(fits) ?? null;
  return found === POLICY.picture || POLICY.former.includes(found) ? null : found;
}

// The picture that this login hands out, or null where it stays as it is.
function pictureInOrder(user, connection, now) {
  const after = pictureAfter(user, connection, now);
  const meant = !POLICY.connections || POLICY.connections.includes(connection);
  if (after === null && !(meant && user?.picture === POLICY.picture)) return null;
  if (POLICY.override && wins(user?.user_metadata?.picture, now)) return after;
  return (isObject(user) ? pictureElsewhere(user) : null) ?? after;
}
