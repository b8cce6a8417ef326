/**
 * py-amqp's codec over stdio. A row goes in with our octets and what they mean; Python reads the octets, says whether that is what they mean, makes the same
 * values itself, and writes them.
 *
 * Values go as `[letter, ...]`, the letters being AMQP's: JSON has neither octets nor moments, and knows no float from an integer.
 */
import { Decimal } from "@apium/protocol/kombu/Json"
import { Effect } from "effect"
import * as Python from "../../../../test/support/Python.ts"

export interface Row {
  /** `table`, `properties`, or the letters of a method's arguments as py-amqp names them: `sLbss`. */
  readonly what: string
  readonly octets: Uint8Array
  /** A table; properties with `headers` among them; the values of arguments. */
  readonly value: unknown
}

export interface Answer {
  /** Python read from our octets what we meant. */
  readonly same: boolean
  /** What Python writes for the same value. */
  readonly octets: Uint8Array
}

const double = new DataView(new ArrayBuffer(8))

const portable = (value: unknown): ReadonlyArray<unknown> => {
  if (value === null) return ["V"]
  if (typeof value === "string") return ["S", value]
  if (typeof value === "boolean") return ["t", value]
  if (typeof value === "bigint") return ["I", String(value)]
  if (typeof value === "number") {
    if (Number.isSafeInteger(value) && !Object.is(value, -0)) return ["I", String(value)]
    double.setFloat64(0, value)
    return ["d", Buffer.from(double.buffer).toString("hex")]
  }
  if (value instanceof Uint8Array) return ["x", Buffer.from(value).toString("hex")]
  if (value instanceof Date) return ["T", value.getTime() / 1000]
  if (value instanceof Decimal) return ["D", value.text]
  if (Array.isArray(value)) return ["A", value.map(portable)]
  return ["F", Object.entries(value as object).map(([key, item]) => [key, portable(item)])]
}

const program = String.raw`
import json, struct, sys
from datetime import datetime
from decimal import Decimal
from amqp.basic_message import Message
from amqp.serialization import dumps, loads

def made(value):
    kind, *rest = value
    if kind == "V": return None
    value = rest[0]
    if kind == "I": return int(value)
    if kind == "d": return struct.unpack(">d", bytes.fromhex(value))[0]
    if kind == "x": return bytes.fromhex(value)
    if kind == "T": return datetime.utcfromtimestamp(value)
    if kind == "D": return Decimal(value)
    if kind == "A": return [made(item) for item in value]
    if kind == "F": return {key: made(item) for key, item in value}
    return value

def same(one, other):
    if type(one) is not type(other): return False
    if isinstance(one, dict): return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list): return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float): return struct.pack(">d", one) == struct.pack(">d", other)
    return one == other

def content(octets, value):
    message = Message()
    end = message._load_properties(60, octets, 0)
    return end == len(octets) and same(value, message.properties), Message(**value)._serialize_properties()

def arguments(letters, octets, value):
    read, end = loads(letters, octets, 0)
    return end == len(octets) and same(value, read), dumps(letters, value)

for line in sys.stdin:
    what, octets, value = json.loads(line)
    octets, value = bytes.fromhex(octets), made(value)
    if what == "properties": held, written = content(octets, value)
    elif what == "table": held, written = arguments("F", octets, [value])
    else: held, written = arguments(what, octets, value)
    print(int(held), written.hex(), sep=" ")
`

/** In one process; some thousands at once are a good batch. */
export const answers = (rows: ReadonlyArray<Row>) =>
  Effect.map(
    Python.run(program, {
      input: rows
        .map(({ what, octets, value }) => JSON.stringify([what, Buffer.from(octets).toString("hex"), portable(value)]))
        .join("\n")
    }),
    (text) =>
      text.split("\n", rows.length).map((line): Answer => {
        const [same, octets = ""] = line.split(" ")
        return { same: same === "1", octets: Uint8Array.from(Buffer.from(octets, "hex")) }
      })
  )

/** What py-amqp reads octets as, in Python's own words, or the name of its error. */
export const shown = (fields: ReadonlyArray<Uint8Array>) =>
  Effect.map(
    Python.run(
      String.raw`
import sys
from amqp.serialization import loads
for line in sys.stdin:
    try: print(repr(loads("F", bytes.fromhex(line), 0)[0][0]["k"]))
    except Exception as error: print(type(error).__name__)
`,
      { input: fields.map((octets) => Buffer.from(octets).toString("hex")).join("\n") }
    ),
    (text) => text.trimEnd().split("\n")
  )

export interface Signatures {
  /** By class and method, of what it receives: `60.60`. */
  readonly received: Readonly<Record<string, string>>
  /** By the names of its methods, of what it sends: `basic_publish`. */
  readonly sent: Readonly<Record<string, string>>
}

/** The letters of arguments that py-amqp's own channel and connection go by. */
export const signatures = Effect.map(
  Python.run(String.raw`
import inspect, json
from amqp.channel import Channel
from amqp.connection import Connection
received = {"%d.%d" % method.method_sig: method.args or "" for method in [*Channel._METHODS.values(), *Connection._METHODS.values()]}
sent = {}
for name, function in [*inspect.getmembers(Channel, inspect.isfunction), *inspect.getmembers(Connection, inspect.isfunction)]:
    argsig = inspect.signature(function).parameters.get("argsig")
    if argsig is not None: sent[name] = argsig.default
print(json.dumps({"received": received, "sent": sent}))
`),
  (text) => JSON.parse(text) as Signatures
)
