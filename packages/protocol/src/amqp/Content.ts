/**
 * A message's header and body as they were received, read when somebody asks: most consumers want few of the properties, and some none of the headers.
 */
import * as Result from "effect/Result"
import { ByteReader } from "../internal/byteReader.ts"
import { readTable } from "../internal/table.ts"
import type { AmqpError } from "./AmqpError.ts"
import * as BasicProperties from "./BasicProperties.ts"
import type { FieldTable } from "./FieldTable.ts"
import type { Content as Written } from "./FrameWriter.ts"

/** Where a content header's parts stand in what holds them. */
export interface Place {
  /** The flags, and behind them the properties up to `end`. */
  readonly start: number
  readonly end: number
  /** The table of headers; -1 where there is none. */
  readonly tableStart: number
  readonly tableEnd: number
}

/** A message's header and body. Properties and headers are read when they are first asked for. */
export class Content {
  readonly body: Uint8Array
  private bytes: Uint8Array
  private readonly start: number
  private readonly end: number
  private readonly tableStart: number
  private readonly tableEnd: number
  private readProperties: BasicProperties.Properties | undefined
  private readHeaders: FieldTable | undefined

  /** @internal */
  constructor(body: Uint8Array, bytes: Uint8Array, place: Place) {
    this.body = body
    this.bytes = bytes
    this.start = place.start
    this.end = place.end
    this.tableStart = place.tableStart
    this.tableEnd = place.tableEnd
    this.readProperties = undefined
    this.readHeaders = undefined
  }

  /** The thirteen properties but the headers. They were looked over when they came in: this does not fail. */
  get properties(): BasicProperties.Properties {
    if (this.readProperties === undefined) {
      scratch.reset(this.bytes, this.start, this.end, headerTurn)
      this.readProperties = BasicProperties.read(scratch, nowhere)
      this.release()
    }
    return this.readProperties
  }

  /** Whether the message carries a table at all; an empty one counts. */
  get hasHeaders(): boolean {
    return this.tableStart >= 0
  }

  /** Whether somebody has read properties and headers by now. */
  get isRead(): boolean {
    return this.readHeaders !== undefined && this.readProperties !== undefined
  }

  /** The headers, empty where there are none; throws {@link AmqpError} where the table makes no sense, which is this message's affair alone. */
  headersUnsafe(): FieldTable {
    if (this.readHeaders === undefined) {
      if (this.tableStart < 0) return none
      scratch.reset(this.bytes, this.start, this.end, tableTurn)
      scratch.move(this.tableStart, this.tableEnd, tableTurn)
      this.readHeaders = readTable(scratch)
      if (this.readProperties === undefined) {
        // FAST: who asks for the headers will ask for the properties, and their text is decoded by now.
        scratch.move(this.start, this.end, headerTurn)
        this.readProperties = BasicProperties.read(scratch, nowhere)
      }
      this.release()
    }
    return this.readHeaders
  }

  /** The table of headers as it came, with its length: what is left of one that makes no sense. Empty once it was read. */
  get headerOctets(): Uint8Array {
    return this.tableStart < 0 ? noOctets : this.bytes.slice(this.tableStart, this.tableEnd)
  }

  headers(): Result.Result<FieldTable, AmqpError> {
    return Result.try({ try: () => this.headersUnsafe(), catch: (error) => error as AmqpError })
  }

  /** As `FrameWriter.content` takes it; throws {@link AmqpError} as {@link headersUnsafe} does. */
  toWritten(): Written {
    return {
      properties: this.properties,
      headers: this.hasHeaders ? this.headersUnsafe() : undefined,
      body: this.body
    }
  }

  /** Lets go of the octets when nobody will read them again. */
  private release(): void {
    const done = this.readProperties !== undefined && (this.tableStart < 0 || this.readHeaders !== undefined)
    if (done) this.bytes = noOctets
    scratch.reset(noOctets, 0, 0)
  }
}

/** One for all: nothing here waits for anything. */
const noOctets = new Uint8Array(0)
const scratch = new ByteReader(noOctets)
const nowhere: BasicProperties.Span = { start: -1, end: -1 }

const none: FieldTable = Object.freeze({})

/** The predictions of the reader's: properties apart from headers, and both from the methods. */
const headerTurn = 8
const tableTurn = 16
