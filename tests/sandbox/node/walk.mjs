// Reads a sandbox with Auth0's own SDK and prints what it saw as one JSON object.
import { createRequire } from "node:module";
import { gunzipSync } from "node:zlib";

// The SDK is not installed next to this file.
const require = createRequire(`${process.env.SDK_FOLDER}/`);
const { ManagementClient } = require(process.env.SDK_NAME);

const client = new ManagementClient({
  domain: process.env.AUTH0_DOMAIN,
  clientId: process.env.AUTH0_CLIENT_ID,
  clientSecret: process.env.AUTH0_CLIENT_SECRET,
});

const seen = [];
let page = await client.users.list({ per_page: 100, sort: "created_at:1", include_totals: true });
const total = page.response.total;
for (;;) {
  seen.push(...page.data.map((user) => user.user_id));
  if (!page.hasNextPage() || page.data.length === 0) break;
  page = await page.getNextPage();
}

const one = await client.users.get(seen[0]);
const changed = await client.users.update(seen[0], { user_metadata: { picture: "https://example.com/x.png" } });

const refusal = await client.users.get("auth0|nobody").catch((error) => error);
const paging = await client.users.list({ page: 10, per_page: 100 }).catch((error) => error);

const connections = [];
for await (const item of await client.connections.list({ take: 1 })) connections.push(item.name);

const job = await client.jobs.usersExports.create({ format: "json", fields: [{ name: "user_id" }] });
const statuses = [];
let polled;
do {
  polled = await client.jobs.get(job.id);
  statuses.push(polled.status);
} while (polled.status !== "completed");
const download = await fetch(polled.location);
const lines = gunzipSync(Buffer.from(await download.arrayBuffer())).toString().trim().split("\n");

console.log(
  JSON.stringify({
    total,
    seen,
    email: one.email,
    picture: changed.user_metadata.picture,
    refusal: [refusal.statusCode, refusal.body?.errorCode],
    paging: [paging.statusCode, paging.body?.errorCode],
    connections,
    statuses: [statuses.at(0), statuses.at(-1)],
    exported: lines.map((line) => JSON.parse(line).user_id),
  }),
);
