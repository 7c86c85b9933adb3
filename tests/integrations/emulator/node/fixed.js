// Google's own client for Node, unmodified, whose addresses are fixed: it fetches a token, and verifies it.
const { createRequire } = require("node:module");
const { join } = require("node:path");

const [packages, audience] = process.argv.slice(2);
const load = createRequire(join(packages, "package.json"));
const { GoogleAuth, OAuth2Client } = load("google-auth-library");

(async () => {
  const client = await new GoogleAuth().getIdTokenClient(audience);
  const headers = await client.getRequestHeaders(`${audience}/`);
  const idToken = headers.get("authorization").split(" ")[1];
  const ticket = await new OAuth2Client().verifyIdToken({ idToken, audience });
  const elsewhere = await fetch("https://example.com/").then(
    (answer) => String(answer.status),
    () => "refused",
  );
  console.log(JSON.stringify({ claims: ticket.getPayload(), elsewhere }));
})().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
