// The engine's side of the boundary: the whole surface between an app's JavaScript and its worker is the four imports and the
// exports below. Everything the isolate is lies in its linear memory, so that a copy of that memory is a snapshot of it.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "quickjs.h"

#define EXPORT(name) __attribute__((export_name(name), used))
#define IMPORT(name) __attribute__((import_module("host"), import_name(name)))

// A message to the worker; its first byte is the kind.
IMPORT("send") extern void host_send(const char *message, size_t length);
// A question that the worker answers at once: the length of the answer, which `take` copies.
IMPORT("ask") extern size_t host_ask(const char *question, size_t length);
IMPORT("take") extern void host_take(char *answer);

static JSRuntime *runtime;
static JSContext *context;
static JSValue on_message;

// Half of the WebAssembly stack: running out is then an exception that JavaScript can catch, not a trap.
#define STACK_BYTES (512 * 1024)
// Snapshots are small and invocations short: most end before anything would be collected.
#define COLLECT_ABOVE_BYTES (16u << 20)

static JSValue js_send(JSContext *c, JSValueConst this_value, int count, JSValueConst *values) {
  size_t length;
  const char *message = JS_ToCStringLen(c, &length, values[0]);
  if (!message) return JS_EXCEPTION;
  host_send(message, length);
  JS_FreeCString(c, message);
  return JS_UNDEFINED;
}

static JSValue js_ask(JSContext *c, JSValueConst this_value, int count, JSValueConst *values) {
  size_t length;
  const char *question = JS_ToCStringLen(c, &length, values[0]);
  if (!question) return JS_EXCEPTION;
  size_t answer_length = host_ask(question, length);
  JS_FreeCString(c, question);
  char *answer = malloc(answer_length ? answer_length : 1);
  if (!answer) return JS_ThrowOutOfMemory(c);
  host_take(answer);
  JSValue value = JS_NewStringLen(c, answer, answer_length);
  free(answer);
  return value;
}

// The pending exception as a message of kind 'X'.
static void tell_exception(void) {
  JSValue exception = JS_GetException(context);
  const char *text = JS_ToCString(context, exception);
  JSValue stack = JS_IsObject(exception) ? JS_GetPropertyStr(context, exception, "stack") : JS_UNDEFINED;
  const char *frames = JS_IsString(stack) ? JS_ToCString(context, stack) : NULL;
  static char message[4096];
  int length = snprintf(message, sizeof message, "X%s\n%s", text ? text : "an exception without text", frames ? frames : "");
  if (length >= (int)sizeof message) length = sizeof message - 1;
  host_send(message, length);
  if (text) JS_FreeCString(context, text);
  if (frames) JS_FreeCString(context, frames);
  JS_FreeValue(context, stack);
  JS_FreeValue(context, exception);
  // What is pending after that is an error of telling.
  JS_FreeValue(context, JS_GetException(context));
}

static int run_jobs(void) {
  JSContext *of_job;
  int result;
  while ((result = JS_ExecutePendingJob(runtime, &of_job)) > 0) {}
  if (result < 0) { tell_exception(); return 1; }
  return 0;
}

EXPORT("sandbox_start") int sandbox_start(void) {
  runtime = JS_NewRuntime();
  if (!runtime) return 1;
  JS_SetMaxStackSize(runtime, STACK_BYTES);
  context = JS_NewContext(runtime);
  if (!context) return 1;
  JSValue global = JS_GetGlobalObject(context);
  JS_SetPropertyStr(context, global, "__send", JS_NewCFunction(context, js_send, "send", 1));
  JS_SetPropertyStr(context, global, "__ask", JS_NewCFunction(context, js_ask, "ask", 1));
  JS_FreeValue(context, global);
  on_message = JS_UNDEFINED;
  return 0;
}

// Room for `length` bytes and a terminating zero.
EXPORT("sandbox_room") char *sandbox_room(size_t length) { return malloc(length + 1); }

// Runs a script; frees its text. `name` and text lie behind each other, each ended by a zero.
EXPORT("sandbox_run") int sandbox_run(char *name, size_t name_length, size_t text_length) {
  char *text = name + name_length + 1;
  JSValue value = JS_Eval(context, text, text_length, name, JS_EVAL_TYPE_GLOBAL);
  free(name);
  if (JS_IsException(value)) { tell_exception(); return 1; }
  JS_FreeValue(context, value);
  return run_jobs();
}

// Ends what may be run before the snapshot: what the worker sends from now on goes to one function.
EXPORT("sandbox_ready") int sandbox_ready(void) {
  JSValue global = JS_GetGlobalObject(context);
  JS_FreeValue(context, on_message);
  on_message = JS_GetPropertyStr(context, global, "__on_message");
  JS_FreeValue(context, global);
  JS_RunGC(runtime);
  JS_SetGCThreshold(runtime, COLLECT_ABOVE_BYTES);
  return JS_IsFunction(context, on_message) ? 0 : 1;
}

EXPORT("sandbox_message") int sandbox_message(char *message, size_t length) {
  JSValue argument = JS_NewStringLen(context, message, length);
  free(message);
  JSValue value = JS_Call(context, on_message, JS_UNDEFINED, 1, &argument);
  JS_FreeValue(context, argument);
  if (JS_IsException(value)) { tell_exception(); return 1; }
  JS_FreeValue(context, value);
  return run_jobs();
}
