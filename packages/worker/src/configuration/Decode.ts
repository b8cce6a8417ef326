/** Celery's configuration, read and checked as a whole. */
import { didYouMean, nearest } from "@apium/protocol/Suggest"
import * as Equal from "effect/Equal"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Absent from "./Absent.ts"
import * as Kind from "./Kind.ts"
import * as MessageSettings from "./MessageSettings.ts"
import { newNames } from "./OldNames.ts"
import * as Settings from "./Settings.ts"
import * as TransportOptions from "./TransportOptions.ts"

type CamelCase<S extends string> = S extends `${infer Head}_${infer Tail}` ? `${Head}${Capitalize<CamelCase<Tail>>}` : S

type Known = Settings.Key | Absent.Key

/** For `satisfies`: the keys, in both spellings. */
export type Input = { readonly [K in Known as K | CamelCase<K>]?: unknown }

type Options = "broker_transport_options" | "result_backend_transport_options"

type Values = { readonly [K in Exclude<Settings.Key, Options> as CamelCase<K>]?: Settings.Value<K> }

/** What was said, read; URLs and passwords are redacted. */
export interface Configuration extends Values {
  /** Where the broker is. Celery's default is `amqp://`. */
  readonly broker:
    | { readonly _tag: "amqp"; readonly options: TransportOptions.OfAmqp }
    | { readonly _tag: "redis"; readonly options: TransportOptions.OfRedis }
    | { readonly _tag: "memory" }
  /** Where results are; nobody says so: in memory. */
  readonly results:
    | { readonly _tag: "redis"; readonly options: TransportOptions.OfResults }
    | { readonly _tag: "rpc" }
    | { readonly _tag: "memory" }
}

/** One key that cannot stay as it is. */
export const Problem = Schema.Struct({
  /** `unknown`: nobody has it; `renamed`: an old name; `absent`: Apium has it not, or elsewhere; `invalid`: its value. */
  reason: Schema.Literals(["unknown", "renamed", "absent", "invalid"]),
  /** As it was written. */
  key: Schema.String,
  /** One sentence or two, without a value. */
  text: Schema.String,
  /** The key that was probably meant. */
  suggestion: Schema.optionalKey(Schema.String)
})

export type Problem = typeof Problem.Type

/** All that is wrong with a configuration. No value is in it. */
export class ConfigurationError extends Schema.TaggedError<ConfigurationError>()("ConfigurationError", {
  problems: Schema.NonEmptyArray(Problem)
}) {
  override get message() {
    return this.problems.map(({ key, text }) => `${key}: ${text}`).join("\n")
  }
}

const known = (): ReadonlyArray<string> => [...Object.keys(Settings.settings), ...Object.keys(Absent.absent)]

const unknownKey = (key: string): Problem => {
  const shown = Kind.shown(key)
  const keys = known()
  const problem = (reason: Problem["reason"], text: string, suggestion: string | undefined): Problem => ({
    reason,
    key: shown,
    text,
    ...(suggestion === undefined ? undefined : { suggestion })
  })
  if (/^[A-Z][A-Z\d_]+$/.test(key)) {
    const now = newNames(keys)
    const found = now.get(key)
    if (found !== undefined) return problem("renamed", `this is an old name. Write ${found}`, found)
    const meant = nearest(key, now.keys())
    const suggestion = meant === undefined ? undefined : now.get(meant)
    return problem(
      "unknown",
      `there is no such setting.${suggestion === undefined ? "" : ` Did you mean ${suggestion}?`}`,
      suggestion
    )
  }
  const names = key.includes("_") ? keys : [...keys.map(Kind.camelCase), ...keys]
  return problem("unknown", `there is no such setting.${didYouMean(key, names)}`, nearest(key, names))
}

const invalid = (key: string, text: string): Problem => ({ reason: "invalid", key, text })

const schemes: Readonly<Record<string, "amqp" | "redis" | "rpc" | "memory">> = {
  amqp: "amqp",
  amqps: "amqp",
  pyamqp: "amqp",
  redis: "redis",
  rediss: "redis",
  "redis+socket": "redis",
  sentinel: "redis",
  "redis+cluster": "redis",
  "rediss+cluster": "redis",
  rpc: "rpc",
  memory: "memory",
  "cache+memory": "memory"
}

/** Which of these a URL leads to. */
const placeOf = <T extends string>(url: string, places: ReadonlyArray<T>): Result.Result<T, string> => {
  const scheme = /^([a-z][a-z\d+.-]*):\/\//i.exec(url)?.[1]?.toLowerCase() ?? ""
  const place = Object.hasOwn(schemes, scheme) ? places.find((place) => place === schemes[scheme]) : undefined
  if (place !== undefined) return Result.succeed(place)
  const names = Object.keys(schemes).filter((name) => places.some((place) => place === schemes[name]))
  const meant = nearest(scheme, names)
  const hint = meant === undefined ? "" : ` Did you mean ${meant}://?`
  return Result.fail(`its URL begins with none of ${names.map((name) => `${name}://`).join(", ")}.${hint}`)
}

/** Reads what Celery's `app.conf` could hold. `undefined` is what is not said, and so is `null` where it is Celery's default. */
export const decode = (input: unknown): Result.Result<Configuration, ConfigurationError> => {
  const object = Kind.object.read(input)
  return object === undefined
    ? Result.fail(new ConfigurationError({ problems: [invalid("configuration", `it is ${Kind.object.takes}`)] }))
    : decodeObject(object)
}

const decodeObject = (input: Readonly<Record<string, unknown>>): Result.Result<Configuration, ConfigurationError> => {
  const problems: Array<Problem> = []
  const values: Record<string, unknown> = {}
  const written = new Map<string, string>()
  const wrong = (name: string, text: string): void => {
    problems.push(invalid(written.get(name) ?? name, text))
  }

  for (const [key, value] of Object.entries(input)) {
    const name = key.includes("_") ? key : Kind.snakeCase(key)
    if (value === undefined && (Object.hasOwn(Settings.settings, name) || Object.hasOwn(Absent.absent, name))) continue
    const other = written.get(name)
    if (other !== undefined) {
      problems.push(invalid(key, `${other} is here, too, and is the same setting: leave one of them out`))
      continue
    }
    if (Object.hasOwn(Settings.settings, name)) {
      written.set(name, key)
      const setting: Settings.Setting<unknown> = Settings.settings[name as Settings.Key]
      const read = Kind.read(setting.kind, value)
      if (Result.isSuccess(read)) values[Kind.camelCase(name)] = read.success
      else if (value !== null || setting.default !== null) wrong(name, read.failure)
    } else if (Object.hasOwn(Absent.absent, name)) {
      written.set(name, key)
      const { accepted, why } = Absent.absent[name as Absent.Key]
      if (!accepted.some((one) => Equal.equals(one, value))) {
        problems.push({ reason: "absent", key, text: `Apium does not have this setting: ${why}` })
      }
    } else {
      problems.push(unknownKey(key))
    }
  }

  const given = (name: Settings.Key): unknown => values[Kind.camelCase(name)]
  const place = <T extends string>(name: Settings.Key, otherwise: T, places: ReadonlyArray<T>): T | undefined => {
    const url = given(name) as Redacted.Redacted | undefined
    // A wrong one is said already.
    if (url === undefined) return written.has(name) && input[written.get(name)!] !== null ? undefined : otherwise
    const found = placeOf(Redacted.value(url), places)
    if (Result.isFailure(found)) wrong(name, found.failure)
    return Result.getOrUndefined(found)
  }
  const options = <A>(name: Settings.Key, kind: Kind.Kind<A>): A => {
    const read = Kind.read(kind, given(name) ?? {})
    delete values[Kind.camelCase(name)]
    if (Result.isFailure(read)) wrong(name, read.failure)
    return Result.getOrElse(read, () => ({}) as A)
  }
  /** What another place would take is not dropped in silence. */
  const only = (names: ReadonlyArray<Settings.Key>, places: string): void => {
    for (const name of names) {
      const value = given(name)
      const { default: byDefault, kind } = Settings.settings[name]
      const usual = byDefault === null ? undefined : kind.read(byDefault)
      if (value !== undefined && !Equal.equals(value, usual)) wrong(name, `it is for ${places} alone`)
      delete values[Kind.camelCase(name)]
    }
  }

  MessageSettings.check(values, wrong)
  const at = place("broker_url", "amqp", ["amqp", "redis", "memory"])
  const back = place("result_backend", "memory", ["redis", "rpc", "memory"])
  if (at === "redis" || at === "memory") only(["broker_connection_timeout", "broker_failover_strategy"], "amqp://")
  if (at === "memory") only(["broker_transport_options"], "amqp:// and redis://")
  if (back === "rpc" || back === "memory") only(["result_backend_transport_options"], "redis://")
  if (back === "rpc") only(["result_extended"], "redis:// and memory://")
  const broker =
    at === "amqp"
      ? { _tag: at, options: options("broker_transport_options", TransportOptions.ofAmqp) }
      : at === "redis"
        ? { _tag: at, options: options("broker_transport_options", TransportOptions.ofRedis) }
        : { _tag: "memory" }
  const results =
    back === "redis"
      ? { _tag: back, options: options("result_backend_transport_options", TransportOptions.ofResults) }
      : { _tag: back ?? "memory" }

  const [first, ...others] = problems
  return first === undefined
    ? Result.succeed({ ...values, broker, results } as Configuration)
    : Result.fail(new ConfigurationError({ problems: [first, ...others] }))
}
