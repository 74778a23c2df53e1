// The twin of toolkit/change/policy.py: the same decisions about the same pictures.
// URLs are read with plain text operations, each in linear time, and not with `new URL`,
// so that both sides read every odd address alike and no address can hold up a login.
const CONFIG = null; // replaced by the policy and the rule table, as one JSON literal
const POLICY = CONFIG.policy;
const begin = (path) => new RegExp(`^(?:${path})`, "s");
const RULES = CONFIG.rules.map((rule) => ({ ...rule, path: begin(rule.path) }));
const NO_PICTURE = ["initials", "placeholder", "missing", "invalid"];
const PROXIES = /^i[012]\.wp\.com$/;
const COPIED = /^\/([A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+)(?:\/|$)/;
const { words: WORDS } = CONFIG;
const UNFILLED = new RegExp(WORDS.unfilled, "i");
const UNFILLED_HOST = new RegExp(`^(?:${WORDS.no_hosts.join("|")})$`);
const SIGNED = new RegExp(WORDS.signed, "i");
const NEEDS_TOKEN = WORDS.token_only.map((pattern) => new RegExp(pattern, "i"));
const { clouds: CLOUDS, keys: KEYS, longest: LONGEST, nobody: NOBODY } = WORDS;
const STAMP = /^(2[01]\d\d)(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/;
const MOMENT = /^(2[01]\d\d)-(\d\d)-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d)(?:\.\d{1,9})?)?Z)?$/;
const IMAGE = /^data:image\/[a-z0-9.+-]+(?:;[^,]*)?,./is;
const ELSEWHERE = CONFIG.elsewhere;
const KEY = new RegExp(`^(?:${ELSEWHERE.key})$`, "i");
const BLANK = /[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]/;

function trimmed(text, isBlank) {
  let start = 0;
  let end = text.length;
  while (start < end && isBlank(text[start])) start += 1;
  while (end > start && isBlank(text[end - 1])) end -= 1;
  return text.slice(start, end);
}

// A URL without what browsers drop from it: outer blanks, inner line breaks.
function cleaned(url) {
  return trimmed(url, (character) => character <= " ").replace(/[\t\n\r]/g, "");
}

function decoded(text) {
  return text.replace(/(?:%[0-9a-f]{2})+/gi, (bytes) =>
    Buffer.from(bytes.replaceAll("%", ""), "hex").toString("utf8"),
  );
}

// The parts of a web address as a browser would load it, or null. What Gravatar's image proxy
// copied has the parts of what it is a copy of.
function parsed(url) {
  const match = /^(?:(https?):)?[/\\]{2}([^/?#\\]*)([^?#]*)(?:\?([^#]*))?/is.exec(cleaned(url));
  if (!match) return null;
  const authority = match[2].slice(match[2].lastIndexOf("@") + 1);
  const parts = /^(?:(\[[0-9a-f:.]+\])|([^:]*))(?::([0-9]*))?$/i.exec(authority);
  if (!parts || Number((parts[3] ?? "").replace(/^0+/, "").slice(0, 6)) > 65535) return null;
  const host = (parts[1] ?? decoded(parts[2]).replace(/\.$/, "")).toLowerCase();
  const forbidden = /[\x00-\x20#/:<>?@\\[\]^|%\x7f]/;
  if (!parts[1] && (!host || forbidden.test(host))) return null;
  const path = match[3].replaceAll("\\", "/") || "/";
  const scheme = (match[1] ?? "").toLowerCase();
  const address = { secure: scheme === "https", scheme, host, path, query: match[4] ?? "" };
  const copied = PROXIES.test(host) && COPIED.exec(path);
  if (!copied) return address;
  const rest = path.slice(copied[1].length + 1) || "/";
  return { ...address, host: copied[1].toLowerCase(), path: rest };
}

// Whether a template was filled with nothing: nobody's picture.
function unfilled({ host, path }) {
  return UNFILLED_HOST.test(host) || UNFILLED.test(path);
}

// The first rule that matches decides.
function ruleFor({ host, path }) {
  const below = (above) => host === above || host.endsWith(`.${above}`);
  return RULES.find((rule) => rule.hosts.some(below) && rule.path.test(path));
}

// Of two parameters of one name, the later one counts.
function parametersOf(query) {
  const plain = (text) => decoded(text.replaceAll("+", " "));
  const pair = (piece) => {
    const end = (piece.indexOf("=") + 1 || piece.length + 1) - 1;
    return [plain(piece.slice(0, end)), plain(piece.slice(end + 1))];
  };
  return new Map(query.split("&").map(pair));
}

function seconds(text, base) {
  if (!(base === 16 ? /^[0-9a-f]{1,10}$/i : /^[0-9]{1,10}$/).test(text ?? "")) return null;
  const found = parseInt(text, base);
  return found > 0 && found < 2 ** 33 ? found : null;
}

// Seconds since 1970, or null if there is no such day.
function moment(parts) {
  const [year, month, day, hour, minute, second] = parts.map((part) => Number(part ?? 0));
  const at = new Date(Date.UTC(year, month - 1, day, hour, minute, second));
  const exists = at.getUTCMonth() === month - 1 && at.getUTCDate() === day && hour < 24;
  return exists && minute < 60 && second < 60 ? at.getTime() / 1000 : null;
}

// When an address ends that is signed in one of the general ways, or null.
function signedUntil(query, parameters) {
  if (!SIGNED.test(`?${query}`)) return null;
  const held = new Map();
  for (const [name, text] of parameters) held.set(name.toLowerCase(), text);
  for (const cloud of CLOUDS) {
    const stamp = STAMP.exec(held.get(`x-${cloud}-date`) ?? "");
    const lasts = seconds(held.get(`x-${cloud}-expires`), 10);
    if (stamp && lasts && lasts <= LONGEST) {
      const begins = moment(stamp.slice(1));
      return begins === null ? null : begins + lasts;
    }
  }
  if (KEYS.some((key) => held.has(key))) {
    if (held.has("expires")) return seconds(held.get("expires"), 10);
    const translated = { "-": "+", _: "=", "~": "/" };
    const policy = (held.get("policy") ?? "")
      .replace(/[-_~]/g, (character) => translated[character])
      .replace(/=+$/, "");
    if (!/^[A-Za-z0-9+/]+$/.test(policy) || policy.length % 4 === 1) return null;
    const plain = Buffer.from(policy, "base64").toString("latin1").replace(/[ \n\r\t]/g, "");
    return seconds(/"DateLessThan":\{"AWS:EpochTime":([0-9]{1,10})\}/.exec(plain)?.[1], 10);
  }
  const until = held.has("sig") && MOMENT.exec(held.get("se") ?? "");
  return until ? moment(until.slice(1)) : null;
}

// When an address ends, in milliseconds since 1970.
function expiry(rule, { path, query }, parameters) {
  const [name, base] = rule?.expires ?? [];
  let found = null;
  if (rule?.expires_in_path) found = seconds(begin(rule.expires_in_path).exec(path)?.[1], 16);
  found ??= name ? seconds(parameters.get(name), base) : signedUntil(query, parameters);
  return found === null ? Infinity : found * 1000;
}

function isPast(expires, now) {
  return POLICY.expired && expires <= now;
}

// What a picture is, as toolkit.classification.sources.classify says it.
function judged(picture) {
  if (picture === undefined || picture === null) return { source: "missing" };
  if (typeof picture !== "string") return { source: "invalid" };
  if (!cleaned(picture)) return { source: "missing" };
  const address = parsed(picture);
  if (!address) return { source: IMAGE.test(cleaned(picture)) ? "custom" : "invalid" };
  const rule = ruleFor(address);
  const { secure } = address;
  if (unfilled(address)) return { source: rule ? "placeholder" : "invalid", secure };
  const parameters = parametersOf(address.query);
  if (rule?.source !== "unresolved")
    return { source: rule?.source ?? "custom", secure, expires: expiry(rule, address, parameters) };
  if (!rule.gravatar) return { source: rule.source, secure, expires: Infinity };
  if (rule.hash_in && !isHash(parameters.get(rule.hash_in) ?? ""))
    return { source: "placeholder", secure };
  const text = parameters.get("d") ?? parameters.get("default") ?? "";
  const fallback = trimmed(text, (character) => BLANK.test(character));
  const other = parsed(fallback);
  const shown = other?.scheme ? (ruleFor(other)?.fallback ?? "custom") : "silhouette";
  const custom = shown === "custom";
  const without = shown === "initials" ? shown : "placeholder";
  const forced = /^y(?:es)?$/i.test(parameters.get("f") ?? parameters.get("forcedefault") ?? "");
  const source = forced ? without : "unresolved";
  return { source, without, secure, expires: Infinity, chosen: custom ? fallback : null };
}

// Whether it is a hash that Gravatar could know: neither zeros nor that of nothing.
function isHash(text) {
  return /^(?:[0-9a-f]{64}|[0-9a-f]{32})$/i.test(text) && !NOBODY.includes(text.toLowerCase());
}

// Exchange what a Gravatar URL shows without a Gravatar; leave all else as it is.
function withFallback(gravatar) {
  const [, before, query, fragment] = /^([^?#]*)(?:\?([^#]*))?(.*)$/s.exec(cleaned(gravatar));
  const namesFallback = (piece) =>
    ["d", "default"].includes(decoded(piece.split("=", 1)[0]));
  const pieces = query ? query.split("&") : [];
  if (!pieces.some(namesFallback)) pieces.push("d");
  const last = pieces.findLastIndex(namesFallback);
  pieces[last] = `d=${encodeURIComponent(POLICY.picture)}`;
  const kept = pieces.filter((piece, index) => index === last || !namesFallback(piece));
  return `${before}?${kept.join("&")}${fragment}`;
}

function needsToken(address) {
  return NEEDS_TOKEN.some((pattern) => pattern.test(address));
}

// The picture to show instead of this one, or null to keep it.
function insteadOf(picture, now) {
  const { source, without, expires, chosen } = judged(picture);
  let meant = [source];
  let after = POLICY.picture;
  if (without) {
    if (chosen !== null && !POLICY.former.includes(chosen)) return null;
    meant.push(without);
    after = withFallback(picture);
  } else if (POLICY.former.includes(picture)) {
    meant = ["placeholder"];
  } else if (typeof picture === "string" && needsToken(picture)) {
    meant = ["invalid"];
  } else if (!NO_PICTURE.includes(source) && !isPast(expires, now)) {
    return null;
  }
  return POLICY.sources && !meant.some((item) => POLICY.sources.includes(item)) ? null : after;
}

// A user_metadata.picture that its user could mean, or null.
function pictureOverriding(user, now) {
  const picture = user?.user_metadata?.picture;
  const { source, secure, expires } = judged(picture);
  if (!secure || NO_PICTURE.includes(source) || isPast(expires, now)) return null;
  const isDefault = picture === POLICY.picture || POLICY.former.includes(picture);
  return isDefault || needsToken(picture) ? null : insteadOf(picture, now) ?? picture;
}

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
  return own && expires === Infinity && !needsToken(address);
}

// A picture of somebody that the tenant holds elsewhere, as
// toolkit.classification.held_elsewhere finds it, or null.
function pictureElsewhere(user) {
  if (!isObject(user)) return null;
  const override = user.user_metadata?.picture;
  const fits = (one) => typeof one === "string" && one !== override && isOwn(one);
  const found = placesOf(user).find(fits) ?? null;
  const known = [user.picture, POLICY.picture, ...POLICY.former];
  return known.includes(found) ? null : found;
}

// The picture that this login hands out, or null where it stays as it is: that of the first step
// of the order that has a usable one.
function pictureAfter(user, connection, now) {
  if (POLICY.connections && !POLICY.connections.includes(connection)) return null;
  const picture = user?.picture;
  const instead = insteadOf(picture, now);
  const others = { override: pictureOverriding, elsewhere: pictureElsewhere };
  for (const step of POLICY.order) {
    if (step === "own" && instead === null && picture !== POLICY.picture) return null;
    const other = others[step]?.(user, now) ?? null;
    if (other !== null) return other === picture ? null : other;
  }
  return instead;
}
