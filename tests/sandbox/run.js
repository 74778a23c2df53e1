// Runs the Rules and Actions of a login and prints what came of them as its last line: the seal
// and one JSON object. Reads { seal, claims, user, context, rules, actions, event } from stdin.
"use strict";

const fs = require("node:fs");
const os = require("node:os");
const vm = require("node:vm");
const { isBuiltin } = require("node:module");
const { format } = require("node:util");

const LONGEST_LOG = 256; // Auth0 docs, "Actions Limitations"
const MOST_LOGS = 100;

// Auth0 docs, "Create Custom Claims": what a token's own claims are called cannot be set.
const RESTRICTED = new Set(
  `acr act active amr at_hash ath attest aud auth_time authorization_details azp c_hash client_id
  cnf cty dest entitlements events exp groups gty htm htu iat internalService iss jcard jku jti
  jwe jwk kid may_act mky nbf nonce object_id org_id org_name orig origid permissions roles rph
  s_hash sid sip_callid sip_cseq_num sip_date sip_from_tag sip_via_branch sub sub_jwk toe txn typ
  uuid vot vtm x5t#S256`.split(/\s+/),
);
const PROFILE = `name given_name family_name nickname picture email email_verified updated_at`.split(" ");

const write = process.stdout.write.bind(process.stdout);
// From here on the process gets no new files, connections or threads: see node_runner.py.
write("ready\n");
const input = JSON.parse(fs.readFileSync(0, "utf8"));
// Node's permission model does not keep scripts from signalling or slowing down other processes.
const away = [...["kill", "_kill", "_debugProcess"].map((name) => [process, name]), [os, "setPriority"]];
for (const [holder, name] of away) {
  holder[name] = () => {
    throw Object.assign(new Error("Access to processes has been restricted"), { code: "ERR_ACCESS_DENIED" });
  };
}
// What scripts write past the console is not part of the answer.
process.stdout.write = process.stderr.write = () => true;

const outcome = {
  id_token: { ...input.claims },
  access_token: {},
  user_metadata: {},
  app_metadata: {},
  errors: [],
  logs: [],
  denied: null,
  failure: null,
};
let current = "";
let isOver = false;

function finish() {
  if (isOver) return;
  isOver = true;
  write(`\n${input.seal}${JSON.stringify(outcome)}\n`, () => process.exit(0));
}

function fail(error) {
  const { name = "Error", message = String(error), stack = "" } = Object(error);
  outcome.failure ??= { script: current, name: `${name}`, message: `${message}`, stack: `${stack}` };
  finish();
}

process.on("uncaughtException", fail);
process.on("unhandledRejection", fail);
process.on("beforeExit", () => {
  if (!isOver) fail(new Error("the script ended without an answer"));
});

const log = (...values) => {
  if (outcome.logs.length < MOST_LOGS) outcome.logs.push(format(...values).slice(0, LONGEST_LOG));
};
const console_ = Object.fromEntries(["debug", "error", "info", "log", "warn"].map((name) => [name, log]));

function requireBuiltin(name) {
  if (isBuiltin(name)) return require(name);
  throw Object.assign(new Error(`Cannot find module '${name}'`), { code: "MODULE_NOT_FOUND" });
}

// --- Rules ---

class UnauthorizedError extends Error {
  name = "UnauthorizedError";
}

function runRule({ script }, user, context) {
  const names = { require: requireBuiltin, console: console_, configuration: {}, global: {}, UnauthorizedError };
  const expression = script.replace(/[\s;]+$/, "");
  const rule = vm.compileFunction(`return (${expression}\n)`, Object.keys(names))(...Object.values(names));
  return new Promise((resolve, reject) => {
    const callback = (error, changed = user, context_ = context) =>
      error ? reject(error) : resolve([changed, context_]);
    Promise.resolve(rule(user, context, callback)).catch(reject);
  });
}

async function runRules() {
  let { user, context } = input;
  for (const rule of input.rules ?? []) {
    current = rule.name;
    try {
      [user, context] = await runRule(rule, user, context);
    } catch (error) {
      if (!(error instanceof UnauthorizedError)) throw error;
      outcome.denied = error.message;
      break;
    }
  }
  for (const name of PROFILE) if (user?.[name] != null) outcome.id_token[name] = user[name];
  for (const kind of ["idToken", "accessToken"]) {
    for (const [name, value] of Object.entries(context?.[kind] ?? {})) setClaim(kind, name, value);
  }
}

// --- Actions ---

function setClaim(kind, name, value) {
  if (RESTRICTED.has(name)) {
    outcome.errors.push({ script: current, message: `the claim ${name} cannot be set` });
  } else {
    const claims = kind === "idToken" ? outcome.id_token : outcome.access_token;
    claims[name] = value === undefined ? undefined : JSON.parse(JSON.stringify(value));
  }
}

function makeApi() {
  const settingClaims = (kind) => ({
    setCustomClaim(name, value) {
      setClaim(kind, name, value);
      return api;
    },
  });
  const settingMetadata = (kind) => (name, value) => {
    outcome[kind][name] = value === undefined ? null : JSON.parse(JSON.stringify(value));
    return api;
  };
  const api = {
    accessToken: settingClaims("accessToken"),
    idToken: settingClaims("idToken"),
    user: {
      setAppMetadata: settingMetadata("app_metadata"),
      setUserMetadata: settingMetadata("user_metadata"),
    },
    access: {
      deny(reason) {
        outcome.denied = `${reason}`;
        return api;
      },
    },
  };
  return api;
}

async function runAction({ code, secrets }) {
  const module = { exports: {} };
  const names = { exports: module.exports, require: requireBuiltin, module, console: console_ };
  vm.compileFunction(code, Object.keys(names), { filename: "action.js" })(...Object.values(names));
  const handler = module.exports.onExecutePostLogin;
  // Each Action has an event of its own: what one changes in it the next does not see.
  if (handler) await handler({ ...structuredClone(input.event), secrets }, makeApi());
}

async function run() {
  await runRules();
  for (const action of input.actions ?? []) {
    if (outcome.denied !== null) break;
    current = action.name;
    await runAction(action);
  }
}

run().then(finish, fail);
