// The twin of toolkit/replacement.py: the same decisions about the same pictures.
// URLs are read with plain text operations, each in linear time, and not with `new URL`,
// so that both sides read every odd address alike and no address can hold up a login.
const CONFIG = null; // replaced by the policy and the rule table, as one JSON literal
const POLICY = CONFIG.policy;
const RULES = CONFIG.rules.map((rule) => ({ ...rule, path: new RegExp(`^(?:${rule.path})`, "s") }));
const NO_PICTURE = ["initials", "placeholder", "missing", "invalid"];
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

// The parts of an http(s) URL as a browser would load it, or null.
function parsed(url) {
  const match = /^(https?):[/\\]{2}([^/?#\\]*)([^?#]*)(?:\?([^#]*))?/is.exec(cleaned(url));
  if (!match) return null;
  const authority = match[2].slice(match[2].lastIndexOf("@") + 1);
  const parts = /^(?:(\[[0-9a-f:.]+\])|([^:]*))(?::([0-9]*))?$/i.exec(authority);
  if (!parts || Number((parts[3] ?? "").replace(/^0+/, "").slice(0, 6)) > 65535) return null;
  const host = (parts[1] ?? decoded(parts[2]).replace(/\.$/, "")).toLowerCase();
  const forbidden = /[\x00-\x20#/:<>?@\\[\]^|%\x7f]/;
  if (!parts[1] && (!host || forbidden.test(host))) return null;
  const path = match[3].replaceAll("\\", "/") || "/";
  return { secure: match[1].toLowerCase() === "https", host, path, query: match[4] ?? "" };
}

// The first rule that matches decides.
function ruleFor({ host, path }) {
  const below = (rule) => host === rule.host || host.endsWith(`.${rule.host}`);
  return RULES.find((rule) => below(rule) && rule.path.test(path));
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

function expiry(rule, parameters) {
  if (!rule?.expires) return Infinity;
  const [name, base] = rule.expires;
  const text = parameters.get(name) ?? "";
  if (!(base === 16 ? /^[0-9a-f]{1,10}$/i : /^[0-9]{1,10}$/).test(text)) return Infinity;
  const seconds = parseInt(text, base);
  return seconds > 0 && seconds < 2 ** 33 ? seconds * 1000 : Infinity;
}

function isPast(expires, now) {
  return POLICY.expired && expires <= now;
}

// What a picture is, as toolkit.picture.classify says it.
function judged(picture) {
  if (picture === undefined || picture === null) return { source: "missing" };
  if (typeof picture !== "string") return { source: "invalid" };
  if (!cleaned(picture)) return { source: "missing" };
  const address = parsed(picture);
  if (!address) return { source: "invalid" };
  const rule = ruleFor(address);
  const parameters = parametersOf(address.query);
  const { secure } = address;
  if (rule?.source !== "unresolved")
    return { source: rule?.source ?? "custom", secure, expires: expiry(rule, parameters) };
  const text = parameters.get("d") ?? parameters.get("default") ?? "";
  const fallback = trimmed(text, (character) => BLANK.test(character));
  const other = parsed(fallback);
  const shown = other ? (ruleFor(other)?.source ?? "custom") : "placeholder";
  const custom = shown !== "initials" && shown !== "placeholder";
  const without = custom ? "placeholder" : shown;
  const forced = /^y(?:es)?$/i.test(parameters.get("f") ?? parameters.get("forcedefault") ?? "");
  const source = forced ? without : "unresolved";
  return { source, without, secure, expires: Infinity, chosen: custom ? fallback : null };
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
  } else if (!NO_PICTURE.includes(source) && !isPast(expires, now)) {
    return null;
  }
  return POLICY.sources && !meant.some((item) => POLICY.sources.includes(item)) ? null : after;
}

// Whether a user_metadata.picture is a picture that its user could mean.
function wins(picture, now) {
  const { source, secure, expires } = judged(picture);
  if (!secure || NO_PICTURE.includes(source) || isPast(expires, now)) return false;
  return picture !== POLICY.picture && !POLICY.former.includes(picture);
}

// The picture that this login hands out, or null where it stays as it is.
function pictureAfter(user, connection, now) {
  if (POLICY.connections && !POLICY.connections.includes(connection)) return null;
  const picture = user?.picture;
  const override = POLICY.override ? user?.user_metadata?.picture : null;
  if (!wins(override, now)) return insteadOf(picture, now);
  const after = insteadOf(override, now) ?? override;
  return after === picture ? null : after;
}
