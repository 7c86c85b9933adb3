// Node's contenders. One JSON file holds the keys and tokens; each line on standard input asks for one
// measurement, so that the process which asks can interleave these with its own contenders:
//
//     {"contender": "jose", "case": "RS256", "calls": 200, "again": false}   ->  {"seconds": 0.0000321}
//     {"contender": "jose", "check": "RS256"}                                ->  {"accepted": ["good"]}

import { createPublicKey, verify as bareVerify } from "node:crypto";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { JwtVerifier } from "aws-jwt-verify";
import { createVerifier } from "fast-jwt";
import { OAuth2Client } from "google-auth-library";
import { createLocalJWKSet, jwtVerify } from "jose";

const given = JSON.parse(readFileSync(process.argv[2], "utf8"));
const { issuer, audience } = given;
const WARM_FIRST = 500_000_000n; // nanoseconds that V8 has to warm up before a contender is measured at all,
const WARM_CASE = 150_000_000n; // and before it is measured on other tokens

function fastJwt(alg, cache) {
  const { pem } = given.keys[alg];
  const requiredClaims = ["iss", "aud", "exp"]; // otherwise it accepts a token without them
  const accepted = { algorithms: [alg], allowedIss: issuer, allowedAud: audience, requiredClaims };
  return createVerifier({ key: pem, ...accepted, cache });
}

// Each returns a new verifier that holds its keys and has seen no token.
const contenders = {
  "jose": (alg) => {
    const keys = createLocalJWKSet(given.keys[alg].jwks);
    const options = { issuer, audience, algorithms: [alg], requiredClaims: ["exp"] };
    return (token) => jwtVerify(token, keys, options);
  },
  "aws-jwt-verify": (alg) => {
    const verifier = JwtVerifier.create({ issuer, audience, jwksUri: "https://keys.invalid/jwks.json" });
    verifier.cacheJwks(given.keys[alg].jwks);
    return (token) => {
      if (verifier.verifySync(token).exp === undefined) throw new Error("no expiry"); // it accepts that
    };
  },
  "fast-jwt": (alg) => fastJwt(alg, false),
  "fast-jwt, cache": (alg) => fastJwt(alg, true),
  "google-auth-library": (alg) => {
    const client = new OAuth2Client();
    const { certificates } = given.keys[alg];
    return (token) => client.verifySignedJwtWithCertsAsync(token, certificates, audience, [issuer]);
  },
};

const BARE = "bare verify";
const decoded = new Map();

function bare(alg) {
  const key = { key: createPublicKey(given.keys[alg].pem), dsaEncoding: "ieee-p1363" };
  return ([input, signature]) => {
    if (!bareVerify("sha256", input, key, signature)) throw new Error("a good signature was refused");
  };
}

function decode(token) {
  const end = token.lastIndexOf(".");
  return [Buffer.from(token.slice(0, end)), Buffer.from(token.slice(end + 1), "base64url")];
}

function tokensOf(contender, name) {
  if (contender !== BARE) return given.cases[name].tokens;
  if (!decoded.has(name)) decoded.set(name, given.cases[name].tokens.map(decode));
  return decoded.get(name);
}

async function run(verify, tokens, calls) {
  const began = process.hrtime.bigint();
  for (let number = 0; number < calls; number += 1) {
    const answer = verify(tokens[number % tokens.length]);
    if (answer instanceof Promise) await answer; // a result that is there already needs no await
  }
  return Number(process.hrtime.bigint() - began) / calls / 1e9;
}

const known = new Map();

async function measure({ contender, case: name, calls, again }) {
  const { alg } = given.cases[name];
  const make = contender === BARE ? bare : contenders[contender];
  const all = tokensOf(contender, name);
  const tokens = again ? all.slice(0, 1) : all;
  if (!again && calls > tokens.length) throw new Error("there are fewer tokens that were never seen");
  const place = `${contender} ${name} ${again}`;
  if (!known.has(place)) {
    const until = process.hrtime.bigint() + (known.has(contender) ? WARM_CASE : WARM_FIRST);
    while (process.hrtime.bigint() < until) await run(make(alg), tokens, Math.min(tokens.length, 100));
    known.set(contender, true).set(place, make(alg));
  }
  // For tokens never seen, nothing may be cached of the sample before. One other token is verified first.
  const verify = again ? known.get(place) : make(alg);
  await run(verify, contender === BARE ? tokens : [given.cases[name].other], 1);
  return { seconds: await run(verify, tokens, calls) };
}

async function check({ contender, check: alg }) {
  const verify = contenders[contender](alg);
  const accepted = [];
  for (const [what, token] of Object.entries(given.checks[alg])) {
    try {
      await verify(token);
      accepted.push(what);
    } catch {
      continue; // refused
    }
  }
  return { accepted };
}

for await (const line of createInterface({ input: process.stdin })) {
  const asked = JSON.parse(line);
  let answer;
  try {
    answer = "check" in asked ? await check(asked) : await measure(asked);
  } catch (error) {
    answer = { error: String(error).slice(0, 200) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
