// Reads a sandbox with the fourth major of Auth0's SDK, which has other names for everything.
import { createRequire } from "node:module";
import { gunzipSync } from "node:zlib";

// The SDK is not installed next to this file.
const require = createRequire(`${process.env.SDK_FOLDER}/`);
const { ManagementClient } = require(process.env.SDK_NAME);

const { users, connections, jobs } = new ManagementClient({
  domain: process.env.AUTH0_DOMAIN,
  clientId: process.env.AUTH0_CLIENT_ID,
  clientSecret: process.env.AUTH0_CLIENT_SECRET,
});

const seen = [];
let total;
for (let page = 0; ; page++) {
  const asked = { page, per_page: 100, sort: "created_at:1", include_totals: true };
  const { data } = await users.getAll(asked);
  total = data.total;
  if (data.users.length === 0) break;
  seen.push(...data.users.map((user) => user.user_id));
}

const one = await users.get({ id: seen[0] });
const picture = { user_metadata: { picture: "https://example.com/x.png" } };
const changed = await users.update({ id: seen[0] }, picture);

const refusal = await users.get({ id: "auth0|nobody" }).catch((error) => error);
const paging = await users.getAll({ page: 10, per_page: 100 }).catch((error) => error);
const all = await connections.getAll();

const fields = [{ name: "user_id" }];
const job = await jobs.exportUsers({ format: "json", fields });
const statuses = [];
let polled;
do {
  polled = await jobs.get({ id: job.data.id });
  statuses.push(polled.data.status);
} while (polled.data.status !== "completed");
const download = await fetch(polled.data.location);
const lines = gunzipSync(Buffer.from(await download.arrayBuffer())).toString().trim().split("\n");

console.log(
  JSON.stringify({
    total,
    seen,
    email: one.data.email,
    picture: changed.data.user_metadata.picture,
    refusal: [refusal.statusCode, refusal.errorCode],
    paging: [paging.statusCode, paging.errorCode],
    connections: all.data.map((item) => item.name),
    statuses: [statuses.at(0), statuses.at(-1)],
    exported: lines.map((line) => JSON.parse(line).user_id),
  }),
);
