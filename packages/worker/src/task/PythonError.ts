/**
 * Which exception class of Python's a declared error is. Celery builds the class again from module and name (`exception_to_python` of
 * celery/backends/base.py) where the program that asks has imported it, and calls it with the arguments; so an error of ours is caught
 * by `except`, and one that Python raised is the declared error here.
 *
 * ```ts
 * class OutOfStock extends Schema.TaggedError<OutOfStock>()("OutOfStock", { sku: Schema.String, left: Schema.Int }) {}
 *
 * export const order = Task.make("shop.order", {
 *   params: { sku: Schema.String },
 *   error: TaskError.python(OutOfStock, { module: "shop.errors", type: "OutOfStock", args: ["sku", "left"] })
 * })
 * ```
 *
 * What `args` does not name stays behind, and a field that has to be there is missing where the error is read: such a failure is
 * a `TaskFailed`.
 *
 * Several members of a union may be one class: Python's `except` catches them all. What travels are its arguments, so what comes back
 * is the first member, in the union's order, whose fields they can be; members whose arguments are alike come back as the first of them.
 */
import type { Failure } from "@apium/protocol/celery/ResultMessage"
import type { KombuJson } from "@apium/protocol/kombu/Json"
import * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"

export interface PythonClass<Field extends string = string> {
  /** Its `__module__`: `shop.errors`, or `builtins` for Python's own. */
  readonly module: string
  /** Its `__qualname__`: `OutOfStock`, `Order.Refused`. */
  readonly type: string
  /** The fields that are its arguments, in their order; `message` may be one, and needs no field. */
  readonly args: ReadonlyArray<Field>
}

const key = "@apium/worker/python"

/** The same schema, for an error that is this class in Python. Of a union each member may say its own. */
export const python = <A, I>(
  error: Schema.Codec<A, I>,
  // As they travel: an Error has a `stack` and a `cause` besides.
  of: PythonClass<"message" | Exclude<keyof I & string, "_tag">>
): Schema.Codec<A, I> => error.annotate({ [key]: of })

const annotation = SchemaAST.resolveAt<PythonClass>(key)

interface Member {
  readonly ast: SchemaAST.AST
  readonly of: PythonClass
}

const membersOf = (ast: SchemaAST.AST): ReadonlyArray<Member> => {
  const of = annotation(ast)
  if (of !== undefined) return [{ ast, of }]
  return SchemaAST.isUnion(ast) ? ast.types.flatMap(membersOf) : []
}

/** The class that an error is, if a schema says one. To be called once for a schema. */
export const classes = (schema: Schema.Codec<unknown, unknown>): ((error: unknown) => PythonClass | undefined) => {
  const members = membersOf(schema.ast).map(({ ast, of }) => ({
    of,
    is: Schema.is(Schema.make<Schema.Codec<unknown>>(ast))
  }))
  return members.length === 0 ? () => undefined : (error) => members.find(({ is }) => is(error))?.of
}

/** The arguments of the exception. `text` stands in for a `message` that is no field. */
export const argsOf = (
  { args }: PythonClass,
  fields: Readonly<Record<string, KombuJson>>,
  text: string
): ReadonlyArray<KombuJson> => {
  const has = (name: string): boolean => Object.hasOwn(fields, name) && fields[name] !== undefined
  // A call without its last arguments; what is missing before one that is there is Python's None.
  const last = args.findLastIndex((name) => name === "message" || has(name))
  return args.slice(0, last + 1).map((name) => (has(name) ? fields[name]! : name === "message" ? text : null))
}

/**
 * The fields of a declared error, as they would travel, from an exception of its class: of each member that is this class, in the
 * union's order. Which of them it is the arguments say, and where they fit several, the first.
 */
export const fieldsOf = (
  schema: Schema.Codec<unknown, unknown>,
  { excMessage, excModule, excType }: Failure
): ReadonlyArray<Readonly<Record<string, unknown>>> =>
  membersOf(schema.ast).flatMap(({ ast, of }) =>
    of.module === excModule && isNamed(of.type, excType) && excMessage.length <= of.args.length
      ? [
          Object.fromEntries([
            ...constants(ast),
            ...excMessage.map((value, index) => [of.args[index]!, value] as const)
          ])
        ]
      : []
  )

/** Of one that was wrapped only the last name is left. */
const isNamed = (type: string, excType: string): boolean => type === excType || type.endsWith(`.${excType}`)

/** What is always the same: the tag. */
const constants = (ast: SchemaAST.AST): ReadonlyArray<readonly [PropertyKey, unknown]> => {
  const encoded = SchemaAST.toEncoded(ast)
  return SchemaAST.isObjects(encoded)
    ? encoded.propertySignatures.flatMap(({ name, type }) =>
        SchemaAST.isLiteral(type) ? [[name, type.literal] as const] : []
      )
    : []
}
