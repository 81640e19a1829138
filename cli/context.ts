import type { CallTrace, Client } from '@nubo/client'
import { formatDurationMs } from '@nubo/base'
import { findLogin, type Login } from './config.ts'
import { renderDocument, type OutputFormat } from './output/json.ts'
import { renderTable, type Column } from './output/table.ts'
import type { Surroundings } from './surroundings.ts'

/** Options that every command takes. */
export interface GlobalOptions {
  readonly output: OutputFormat
  readonly project?: string
  readonly server?: string[]
  readonly tokenFile?: string
  readonly debug?: true
}

/** How a kind of thing is shown in lists. */
export interface ListShape<Item> {
  readonly columns: readonly Column<Item>[]
  /** What `-o name` prints, one per line. */
  readonly nameOf: (item: Item) => string
  /** Said on stderr when there is nothing to list. */
  readonly empty: string
  /** The order they come in means something; else they are sorted by name. */
  readonly isOrdered?: true
}

/** What a command works with: its options, the cloud, and where its result goes. */
export class CommandContext {
  readonly surroundings: Surroundings
  /** What the program ends with if nothing is thrown; `set exec` sets it. */
  exitCode = 0
  readonly #options: () => GlobalOptions
  #login: Login | undefined

  constructor(surroundings: Surroundings, options: () => GlobalOptions) {
    this.surroundings = surroundings
    this.#options = options
  }

  get options(): GlobalOptions {
    return this.#options()
  }
  get format(): OutputFormat {
    return this.options.output
  }

  /** Which cloud and as whom. Throws LoginError. */
  get login(): Login {
    this.#login ??= findLogin(this.surroundings, this.options)
    return this.#login
  }

  /** The query of every call in a project; nothing where the token's own project is meant. */
  get inProject(): { project?: string } {
    const { project } = this.login
    return project === undefined ? {} : { project }
  }

  /** ' --project shop' for commands that are suggested, so that they can be copied. */
  get projectFlag(): string {
    const { project } = this.options
    return project === undefined ? '' : ` --project ${project}`
  }

  /** A client of the cloud. Throws LoginError. */
  connect(): Promise<Client> {
    return this.connectTo(this.login)
  }

  async connectTo({ servers, token }: Pick<Login, 'servers' | 'token'>): Promise<Client> {
    // Loaded only here, so that help and usage errors do not wait for the contract.
    const { createClient } = await import('@nubo/client')
    const { clock, random } = this.surroundings
    const options = { servers, token, clock, random }
    return createClient(
      this.options.debug === true
        ? { ...options, onCall: (trace) => this.#printTrace(trace) }
        : options,
    )
  }

  /** Result text, on stdout. */
  write(text: string): void {
    this.surroundings.stdout.write(text)
  }

  /** Words beside the result, on stderr; only where a person reads. */
  remark(text: string): void {
    if (this.format === 'table') this.surroundings.stderr.write(`${text}\n`)
  }

  async printList<Item>(given: readonly Item[], shape: ListShape<Item>): Promise<void> {
    const items = shape.isOrdered === true ? given : sortedByName(given, shape.nameOf)
    switch (this.format) {
      case 'json':
      case 'yaml':
        return this.write(await renderDocument(items, this.format))
      case 'name':
        return this.write(items.map((item) => `${shape.nameOf(item)}\n`).join(''))
      case 'table':
        if (items.length === 0) return this.remark(shape.empty)
        return this.write(renderTable(items, shape.columns, this.tableWidth))
    }
  }

  /** One object: whole for programs, as `text` for people. */
  async printOne<Item extends object>(
    item: Item,
    nameOf: string,
    text: (item: Item) => string,
  ): Promise<void> {
    switch (this.format) {
      case 'json':
      case 'yaml':
        return this.write(await renderDocument(item, this.format))
      case 'name':
        return this.write(`${nameOf}\n`)
      case 'table':
        return this.write(text(item))
    }
  }

  /** Undefined when not on a terminal: then nothing is cut. */
  get tableWidth(): number | undefined {
    const { stdout } = this.surroundings
    return stdout.isTTY === true ? (stdout.columns ?? 80) : undefined
  }

  #printTrace({ method, server, path, outcome, ms }: CallTrace): void {
    this.surroundings.stderr.write(
      `debug: ${method} ${server}${path} → ${outcome} in ${formatDurationMs(ms)}\n`,
    )
  }
}

/** web-2 comes before web-10. */
function sortedByName<Item>(items: readonly Item[], nameOf: (item: Item) => string): Item[] {
  const { compare } = new Intl.Collator('en', { numeric: true })
  return items.toSorted((a, b) => compare(nameOf(a), nameOf(b)))
}
