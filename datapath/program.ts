import type { Flow, FlowChange } from '@nubo/wire-openflow'
import { composeObject } from './compose.ts'
import { checkRound } from './cookies.ts'
import { additions, deletions, diffFlows } from './diff.ts'
import { checkOfport } from './placed.ts'
import { sliceAsChange, SliceIndex } from './slice-index.ts'
import type { HostTunnel, NetworkSlice, ObjectKey, SliceChange } from './slice.ts'

/** The flows of one host, by the object that owns them. */
export class FlowProgram {
  readonly round: number
  readonly #index: SliceIndex
  readonly #flows = new Map<ObjectKey, readonly Flow[]>()

  /** Use `compile`. */
  constructor(tunnel: HostTunnel, round: number) {
    checkRound(round)
    checkOfport('host', tunnel.ofport)
    this.round = round
    this.#index = new SliceIndex(tunnel)
    this.#flows.set('host', composeObject(this.#index, 'host', round))
  }

  get tunnel(): HostTunnel {
    return this.#index.tunnel
  }

  /** The slice that this program is compiled from; a copy, in no particular order. */
  slice(): NetworkSlice {
    return this.#index.slice()
  }

  /** What each object owns; only objects that own flows. */
  get objects(): ReadonlyMap<ObjectKey, readonly Flow[]> {
    return this.#flows
  }

  /** All flows, in no particular order. No two have the same table, priority and match. */
  *flows(): Generator<Flow> {
    for (const flows of this.#flows.values()) yield* flows
  }

  /** Takes the change in, or throws a SliceError with nothing changed. Returns the flows before and after. */
  apply(change: SliceChange): { before: Flow[]; after: Flow[] } {
    const touched = this.#index.apply(change)
    const before: Flow[] = []
    const after: Flow[] = []
    for (const key of touched) {
      const flows = composeObject(this.#index, key, this.round)
      before.push(...(this.#flows.get(key) ?? []))
      after.push(...flows)
      if (flows.length === 0) this.#flows.delete(key)
      else this.#flows.set(key, flows)
    }
    return { before, after }
  }
}

/**
 * Compiles a slice from scratch. Pure. `round` (0..65535) goes into every cookie: a new one for each life of the agent.
 * Throws a SliceError that names the object if the slice cannot be; nothing is compiled then.
 */
export function compile(slice: NetworkSlice, tunnel: HostTunnel, round: number): FlowProgram {
  const program = new FlowProgram(tunnel, round)
  program.apply(sliceAsChange(slice))
  return program
}

/**
 * Brings `program` to the changed slice and returns what to send to a switch that holds it: the same program as
 * compiling the changed slice from scratch, at the cost of what the change touches. A SliceError leaves the program as
 * it was. A network that is put costs its subnets, and its ports where their subnet's range or the VNI changed.
 */
export function compileChange(program: FlowProgram, change: SliceChange): FlowChange[] {
  const { before, after } = program.apply(change)
  // Most changes are of ports that only come, or only go.
  if (before.length === 0) return additions(after)
  return after.length === 0 ? deletions(before) : diffFlows(before, after)
}

/** What turns a switch that holds `from` into one that holds `to`, say for another tunnel. */
export function diffPrograms(from: FlowProgram, to: FlowProgram): FlowChange[] {
  return diffFlows(from.flows(), to.flows())
}
