/**
 * Every table of a host's bridge, in the order in which a packet meets them. Nothing else writes a table number.
 *
 * How to add a table: put one line into `declarations`, inside the stage that says what it does, at the place where a
 * packet should meet it; then write rows for it in `features/`. Its number is derived. A packet moves only forward
 * (`goto` is checked), so the order below can be read as the life of a packet.
 *
 * Renumbering is harmless: after an upgrade the agent compares what it wants with what the switch holds and sends the
 * difference as one atomic bundle. The room between stages only keeps that difference small.
 */

/** What happens in each part of the pipeline. A stage may be empty: it then holds the place for what will come. */
export const stages = [
  /** Who sent this packet, in which network, and may it claim to be that sender? */
  'admit',
  /** Questions that the host answers in place of others: ARP (later DHCP, DNS, metadata). */
  'answer',
  /** Connections: tracking, what the sender's security groups allow, address translation, load balancers. */
  'state',
  /** Is it for the gateway, and if so: the gateway's own answers and the way to another subnet. */
  'route',
  /** Where is the destination: a port of this host, or another host? */
  'locate',
  /** What the receiver's security groups allow. */
  'protect',
  /** Output. The only stage that knows how tunnels are made. */
  'deliver',
] as const
export type Stage = (typeof stages)[number]

export interface TableDeclaration {
  readonly name: string
  readonly stage: Stage
  /** What happens to a packet that no row matches: 'drop', or the name of the table where it goes on. */
  readonly onMiss: string
}

// Declaration order is pipeline order. What each table asks, with a sample of its rows: docs/guides/datapath.md.
const declarations = [
  { name: 'classify', stage: 'admit', onMiss: 'drop' },
  { name: 'anti-spoof', stage: 'admit', onMiss: 'drop' },
  { name: 'arp', stage: 'answer', onMiss: 'drop' },
  { name: 'arp-reply', stage: 'answer', onMiss: 'drop' },
  { name: 'to-gateway', stage: 'route', onMiss: 'locate' },
  { name: 'gateway', stage: 'route', onMiss: 'route' },
  { name: 'route', stage: 'route', onMiss: 'drop' },
  { name: 'locate', stage: 'locate', onMiss: 'drop' },
  { name: 'deliver', stage: 'deliver', onMiss: 'drop' },
] as const satisfies readonly TableDeclaration[]

export type TableName = (typeof declarations)[number]['name']

/** OVS has tables 0..253 for us (254 is its own); seven stages of 32 leave room for a few more stages. */
const TABLES_PER_STAGE = 32
const TABLE_NUMBER_MAX = 253

export interface Table {
  readonly name: TableName
  readonly stage: Stage
  readonly number: number
  readonly onMiss: 'drop' | TableName
}

/**
 * Gives each declared table its number: first number of its stage plus its place in the stage.
 * Throws (a bug in the declarations) if stages go backwards, a name repeats, a stage is full, or a miss goes
 * backwards or nowhere.
 */
export function numberTables(tables: readonly TableDeclaration[]): ReadonlyMap<string, number> {
  const numbers = new Map<string, number>()
  let stageAt = 0
  let placeInStage = 0
  for (const table of tables) {
    const stage = stages.indexOf(table.stage)
    if (stage < stageAt) throw new Error(`table ${table.name}: its stage is declared too late`)
    placeInStage = stage === stageAt ? placeInStage : 0
    stageAt = stage
    if (placeInStage >= TABLES_PER_STAGE) throw new Error(`table ${table.name}: stage is full`)
    const number = stage * TABLES_PER_STAGE + placeInStage
    if (number > TABLE_NUMBER_MAX) throw new Error(`table ${table.name}: number out of range`)
    if (numbers.has(table.name)) throw new Error(`table ${table.name}: declared twice`)
    numbers.set(table.name, number)
    placeInStage += 1
  }
  for (const { name, onMiss } of tables) {
    if (onMiss === 'drop') continue
    if ((numbers.get(onMiss) ?? -1) <= (numbers.get(name) ?? 0)) {
      throw new Error(`table ${name}: a miss must go forward to a declared table, not to ${onMiss}`)
    }
  }
  return numbers
}

const numbers = numberTables(declarations)

/** The tables in pipeline order, with their numbers. */
export const pipeline: readonly Table[] = declarations.map((table) => ({
  ...table,
  number: tableNumber(table.name),
}))

export function tableNumber(name: TableName): number {
  const number = numbers.get(name)
  if (number === undefined) throw new Error(`table ${name} is not declared`)
  return number
}

/** Names by number, for dumps and traces that people read. */
export const tableNames: ReadonlyMap<number, TableName> = new Map(
  pipeline.map(({ name, number }) => [number, name]),
)

/** Rows of one table that can match the same packet differ in priority; nothing else writes a priority. */
export const priority = {
  /** The row that catches what no other matched. */
  miss: 0,
  normal: 100,
  /** An exception to the normal rows of the table. */
  exception: 200,
} as const
export type Priority = (typeof priority)[keyof typeof priority]
