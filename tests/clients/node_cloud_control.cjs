// The AWS SDK for JavaScript, unmodified, against the server that AWS_ENDPOINT_URL names.
//
// It serves Formwork::Examples::File, Formwork::Tests::Thing (with Delay, an update
// or a create takes two callbacks) and Formwork::Tests::Scripted (which does what its
// desired state, or the name of the resource behind a `!`, says).

"use strict";

const assert = require("node:assert/strict");
const { randomUUID } = require("node:crypto");
const { test } = require("node:test");

const sdk = require("@aws-sdk/client-cloudcontrol");

const FILE = "Formwork::Examples::File";
const THING = "Formwork::Tests::Thing";
const SCRIPTED = "Formwork::Tests::Scripted";
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

const client = new sdk.CloudControl({ maxAttempts: 1 });
const patient = new sdk.CloudControl({ maxAttempts: 3 });

const name = () => `a-${randomUUID().slice(0, 13)}`;

async function create(typeName, state, more = {}) {
  const asked = { TypeName: typeName, DesiredState: JSON.stringify(state), ...more };
  return (await client.createResource(asked)).ProgressEvent;
}

async function update(typeName, identifier, ...operations) {
  const asked = { TypeName: typeName, Identifier: identifier, PatchDocument: JSON.stringify(operations) };
  return (await client.updateResource(asked)).ProgressEvent;
}

async function remove(typeName, identifier, more = {}) {
  const asked = { TypeName: typeName, Identifier: identifier, ...more };
  return (await client.deleteResource(asked)).ProgressEvent;
}

async function properties(typeName, identifier) {
  const answer = await client.getResource({ TypeName: typeName, Identifier: identifier });
  return JSON.parse(answer.ResourceDescription.Properties);
}

const read = (from, script) => from.getResource({ TypeName: SCRIPTED, Identifier: `a!${script}` });

/** Waits for a request, and gives what the waiter saw last. */
async function wait(event, more = {}) {
  const patience = { client, minDelay: 1, maxDelay: 1, maxWaitTime: 60, ...more };
  return sdk.waitUntilResourceRequestSuccess(patience, { RequestToken: event.RequestToken });
}

/** Gives the error that a call ends with. */
async function refusal(called) {
  try {
    await called;
  } catch (error) {
    return error;
  }
  return assert.fail("it was not refused");
}

async function all(pages) {
  const all = [];
  for await (const page of pages) all.push(page);
  return all;
}

test("a resource is created, read, updated, listed and deleted", async () => {
  const file = name();
  const event = await create(FILE, { Name: file, Contents: "one", Secret: "s3cr3t" });
  // The handler is fast, so the first answer is the last.
  assert.equal(event.OperationStatus, "SUCCESS");
  assert.deepEqual([event.Operation, event.TypeName, event.Identifier], ["CREATE", FILE, file]);
  assert.match(event.RequestToken, UUID);
  assert.ok(Math.abs(Date.now() - event.EventTime.getTime()) < 600_000, "the time is a time");
  assert.ok(!JSON.stringify(event).includes("s3cr3t"), "what is only written is not read");
  assert.equal((await properties(FILE, file)).Contents, "one");
  const updated = await update(FILE, file, { op: "replace", path: "/Contents", value: "three" });
  assert.equal(updated.OperationStatus, "SUCCESS");
  assert.equal((await properties(FILE, JSON.stringify({ Name: file }))).Size, 5);
  const pages = await all(sdk.paginateListResources({ client }, { TypeName: FILE }));
  const listed = pages.flatMap((page) => page.ResourceDescriptions.map((one) => one.Identifier));
  assert.ok(listed.includes(file));
  assert.equal((await remove(FILE, file)).OperationStatus, "SUCCESS");
  const gone = await refusal(properties(FILE, file));
  assert.ok(gone instanceof sdk.ResourceNotFoundException, gone.name);
  const again = await remove(FILE, file);
  assert.deepEqual([again.OperationStatus, again.ErrorCode], ["FAILED", "NotFound"]);
});

test("the waiter waits through callbacks until a request has succeeded", async () => {
  const thing = name();
  const event = await create(THING, { Name: thing, Delay: 1 });
  assert.deepEqual([event.OperationStatus, event.Identifier], ["IN_PROGRESS", thing]);
  assert.ok(event.RetryAfter > event.EventTime, "RetryAfter is a time to come");
  const waited = await wait(event);
  assert.equal(waited.state, "SUCCESS");
  const { ProgressEvent: end } = await client.getResourceRequestStatus({ RequestToken: event.RequestToken });
  assert.equal(end.OperationStatus, "SUCCESS");
  assert.equal(end.RetryAfter, undefined);
  assert.equal((await wait(await remove(THING, thing))).state, "SUCCESS");
});

test("the waiter needs one call for a request that has ended", async () => {
  const event = await create(SCRIPTED, { Name: name() });
  // It would not have the time for a second.
  const waited = await wait(event, { minDelay: 30, maxDelay: 30, maxWaitTime: 31 });
  assert.equal(waited.reason.ProgressEvent.RequestToken, event.RequestToken);
});

test("the waiter fails with the event of a request that has failed", async () => {
  const event = await create(SCRIPTED, { Name: name(), Script: ["fail:NotStabilized:it is not stable"] });
  const error = await refusal(wait(event));
  const { state, reason } = JSON.parse(error.message);
  assert.equal(state, "FAILURE");
  assert.equal(reason.ProgressEvent.ErrorCode, "NotStabilized");
  assert.ok(reason.ProgressEvent.StatusMessage.startsWith("it is not stable"));
});

test("the waiter fails for a request that is cancelled", async () => {
  const event = await create(SCRIPTED, { Name: name(), Script: ["in-progress:3600"] });
  for (let times = 0; times < 2; times += 1) {
    const answer = await client.cancelResourceRequest({ RequestToken: event.RequestToken });
    assert.equal(answer.ProgressEvent.OperationStatus, "CANCEL_COMPLETE");
  }
  assert.equal(JSON.parse((await refusal(wait(event))).message).state, "FAILURE");
});

test("the waiter gives up after its time on a request that goes on", async () => {
  const event = await create(SCRIPTED, { Name: name(), Script: ["in-progress:3600"] });
  const error = await refusal(wait(event, { maxWaitTime: 2 }));
  assert.equal(error.name, "TimeoutError");
  await client.cancelResourceRequest({ RequestToken: event.RequestToken });
});

test("the paginators go through every page", async () => {
  const pages = await all(sdk.paginateListResources({ client }, { TypeName: SCRIPTED }));
  const listed = pages.map((page) => page.ResourceDescriptions.map((one) => one.Identifier));
  assert.deepEqual(listed, [["item-0", "item-1"], ["item-2"]]);
  assert.ok(pages.every((page) => page.TypeName === SCRIPTED));

  const tokens = [];
  for (let times = 0; times < 5; times += 1) {
    tokens.push((await create(SCRIPTED, { Name: name() })).RequestToken);
  }
  const wanted = { Operations: ["CREATE"], OperationStatuses: ["SUCCESS"] };
  const asked = { ResourceRequestStatusFilter: wanted };
  const requests = await all(sdk.paginateListResourceRequests({ client, pageSize: 2 }, asked));
  const events = requests.map((page) => page.ResourceRequestStatusSummaries);
  assert.ok(events.slice(0, -1).every((page) => page.length === 2));
  assert.ok(events.flat().every((event) => event.OperationStatus === "SUCCESS"));
  const found = events.flat().map((event) => event.RequestToken);
  assert.deepEqual(found.slice(0, 5), tokens.reverse(), "the newest come first");
  assert.equal(new Set(found).size, found.length, "none comes twice");
});

test("every code of a handler is a typed exception", async (group) => {
  const table = [
    ["AlreadyExists", "AlreadyExistsException", 400],
    ["GeneralServiceException", "GeneralServiceException", 400],
    ["HandlerInternalFailure", "HandlerInternalFailureException", 500],
    ["InternalFailure", "HandlerInternalFailureException", 500],
    ["InvalidCredentials", "InvalidCredentialsException", 400],
    ["InvalidRequest", "InvalidRequestException", 400],
    ["NetworkFailure", "NetworkFailureException", 500],
    ["NotFound", "ResourceNotFoundException", 400],
    ["NotStabilized", "NotStabilizedException", 400],
    ["NotUpdatable", "NotUpdatableException", 400],
    ["ResourceConflict", "ResourceConflictException", 400],
    ["ServiceInternalError", "ServiceInternalErrorException", 500],
    ["ServiceLimitExceeded", "ServiceLimitExceededException", 400],
    ["ServiceTimeout", "HandlerFailureException", 500],
    ["Throttling", "ThrottlingException", 400],
  ];
  for (const [code, exception, status] of table) {
    await group.test(code, async () => {
      const error = await refusal(read(client, `fail:${code}:no luck`));
      assert.ok(error instanceof sdk[exception], error.name);
      assert.equal(error.name, exception);
      assert.equal(error.$fault, status === 500 ? "server" : "client");
      assert.equal(error.$metadata.httpStatusCode, status);
      assert.match(error.message, /no luck/);
    });
  }
});

test("what is refused at once is a typed exception", async (group) => {
  const [file, busy, token] = [name(), name(), randomUUID()];
  await create(FILE, { Name: file, Contents: "one" }, { ClientToken: token });
  const { RequestToken } = await create(SCRIPTED, { Name: busy, Script: ["in-progress:3600"] });
  const rename = { op: "replace", path: "/Name", value: "b" };
  const status = (asked) => client.getResourceRequestStatus({ RequestToken: asked });
  const table = [
    ["TypeNotFoundException", () => create("Acme::Not::Served", {}), /^The type 'Acme::Not::Served' cannot be found\.$/],
    ["NotUpdatableException", () => update(FILE, file, rename), /createOnlyProperties \[\/properties\/Name\]/],
    ["ResourceNotFoundException", () => update(FILE, `${file}-`, rename), /HandlerErrorCode: NotFound/],
    ["InvalidRequestException", () => update(FILE, file, { op: "test", path: "/Contents", value: "two" }), /./],
    ["ConcurrentOperationException", () => remove(SCRIPTED, busy), /./],
    ["ClientTokenConflictException", () => remove(FILE, file, { ClientToken: token }), new RegExp(token)],
    ["RequestTokenNotFoundException", () => status(randomUUID()), /^Request with token .* was not found$/],
  ];
  for (const [exception, call, words] of table) {
    await group.test(exception, async () => {
      const error = await refusal(call());
      assert.ok(error instanceof sdk[exception], `${error}`);
      assert.match(error.message, words);
      assert.equal(error.$metadata.httpStatusCode, 400);
    });
  }
  await client.cancelResourceRequest({ RequestToken });
});

test("an error that the API does not model has its name and its words", async () => {
  const error = await refusal(create(FILE, { Name: name(), Contents: "", Zip: 1 }));
  assert.ok(error instanceof sdk.CloudControlServiceException, `${error}`);
  assert.equal(error.name, "ValidationException");
  assert.equal(error.message, "Model validation failed (#: extraneous key [Zip] is not permitted)");
  assert.equal(error.$metadata.httpStatusCode, 400);
});

test("answers and errors name their request", async () => {
  const ids = [
    (await client.listResources({ TypeName: FILE })).$metadata.requestId,
    (await client.listResources({ TypeName: FILE })).$metadata.requestId,
    (await refusal(client.listResources({ TypeName: "Acme::Not::Served" }))).$metadata.requestId,
  ];
  for (const id of ids) assert.match(id, UUID);
  assert.equal(new Set(ids).size, ids.length);
});

test("a call is retried for throttling and for faults of the server alone", async (group) => {
  const table = [
    ["Throttling", 3],
    ["InternalFailure", 3],
    ["NetworkFailure", 3],
    ["ServiceInternalError", 3],
    ["ResourceConflict", 1],
    ["InvalidRequest", 1],
    ["NotFound", 1],
  ];
  for (const [code, attempts] of table) {
    await group.test(code, async () => {
      const error = await refusal(read(patient, `fail:${code}:no`));
      assert.equal(error.$metadata.attempts, attempts);
    });
  }
});

test("a client token is one request", async () => {
  const [file, token] = [name(), randomUUID()];
  const state = { Name: file, Contents: "one" };
  const event = await create(FILE, state, { ClientToken: token });
  assert.deepEqual(await create(FILE, state, { ClientToken: token }), event);
  const other = await refusal(create(FILE, { ...state, Contents: "two" }, { ClientToken: token }));
  assert.equal(
    other.message,
    `ClientToken ${token} is already associated with an existing operation with RequestToken ${event.RequestToken}`,
  );
  assert.equal((await properties(FILE, file)).Contents, "one");
});

test("the SDK makes a client token of its own for each request", async () => {
  const file = name();
  const tokens = [];
  const watched = new sdk.CloudControl({ maxAttempts: 1 });
  watched.middlewareStack.add(
    (next) => (sent) => {
      tokens.push(JSON.parse(Buffer.from(sent.request.body)).ClientToken);
      return next(sent);
    },
    { step: "finalizeRequest" },
  );
  const asked = { TypeName: FILE, DesiredState: JSON.stringify({ Name: file, Contents: "one" }) };
  const first = await watched.createResource(asked);
  const second = await watched.createResource(asked);
  assert.equal(first.ProgressEvent.OperationStatus, "SUCCESS");
  assert.equal(second.ProgressEvent.ErrorCode, "AlreadyExists");
  assert.equal(new Set(tokens).size, 2);
});
