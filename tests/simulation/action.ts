import type { Random } from '@nubo/base'

export const SERVERS = 2
export const RACKS = 2
export const IMAGES = ['web', 'web-2'] as const

const appliedNames = (from: number, to: number): string[] =>
  Array.from({ length: to - from }, (_none, at) => `app-${from + at}`)
/** The sets that each manifest may describe; two are in both. */
export const MANIFEST_NAMES = { shop: appliedNames(0, 5), depot: appliedNames(3, 8) } as const

/** How a caller behaves: asks once, asks again where no answer came, or asks two servers at the same time. */
export type Manner = 'once' | 'retries' | 'twice'

/** Through which server first, and how. */
export interface Asking {
  readonly server: number
  readonly manner: Manner
}

export type Subnet = 'small' | 'large'

/** What people ask of a set, as far as it can be changed in place. */
export interface SetShape {
  readonly recovery: 'local' | 'elsewhere'
  readonly containers: number
  readonly image: (typeof IMAGES)[number]
  readonly memoryMib: number
  readonly priority: number
  /** A host that it was asked for on. */
  readonly pinnedTo: number | undefined
}

/** A manifest with networks, ports and sets of its own; some names of sets are in several. */
export interface ManifestDraw {
  readonly name: keyof typeof MANIFEST_NAMES
  /** Nothing but its name: with `prune` everything of it goes. */
  readonly isEmpty: boolean
  readonly subnets: number
  readonly sets: readonly (SetShape & {
    readonly name: string
    /** Which of the subnets. */
    readonly subnet: number
    /** It has a port that is described beside it. */
    readonly hasPort: boolean
    /** Waits for the one before it in the list. */
    readonly isAfter: boolean
  })[]
}

/** One thing that happens. Everything is drawn beforehand, so that a plan is data: parts can be left out of it, and it can be run again. */
export type Action =
  | ({ readonly do: 'create'; readonly name: string; readonly subnet: Subnet } & SetShape & Asking)
  | ({ readonly do: 'update'; readonly name: string; readonly isChecked: boolean } & SetShape &
      Asking)
  | ({
      readonly do: 'replace'
      readonly name: string
      readonly subnet: Subnet
      /** Creates it anew once the old one is gone; otherwise at once, which may be refused. */
      readonly waits: boolean
    } & SetShape &
      Asking)
  | ({ readonly do: 'remove' | 'stop' | 'start' | 'restart'; readonly name: string } & Asking)
  | ({
      readonly do: 'apply'
      readonly manifest: ManifestDraw
      readonly prune: boolean
      readonly recreate: boolean
      /** Plans first, and applies only what was planned. */
      readonly isChecked: boolean
    } & Asking)
  | ({
      readonly do: 'drain' | 'maintenance' | 'end-maintenance' | 'cordon' | 'uncordon'
      readonly host: number
    } & Asking)
  /** Of the operations that can be given up at that moment. */
  | ({ readonly do: 'cancel'; readonly which: number } & Asking)
  | { readonly do: 'end-container'; readonly host: number; readonly which: number }
  | {
      readonly do: 'kill-server'
      readonly server: number
      readonly points: number
      readonly downMs: number
    }
  | {
      readonly do: 'kill-agent'
      readonly host: number
      readonly points: number
      readonly downMs: number
    }
  | { readonly do: 'pause-server'; readonly server: number; readonly forMs: number }
  | { readonly do: 'pause-agent'; readonly host: number; readonly forMs: number }
  | { readonly do: 'break-connections'; readonly host: number }
  | {
      readonly do: 'cut'
      readonly hosts: readonly number[]
      /** Undefined: all servers. */
      readonly server: number | undefined
      readonly way: 'both' | 'to-servers' | 'to-hosts'
      readonly forMs: number
    }
  | { readonly do: 'cut-underlay'; readonly hosts: readonly number[]; readonly forMs: number }
  | { readonly do: 'power-off'; readonly hosts: readonly number[]; readonly offMs: number }
  | {
      readonly do: 'jump-clock'
      readonly of: 'host' | 'server'
      readonly which: number
      readonly byMs: number
    }
  | { readonly do: 'full-disk'; readonly host: number; readonly forMs: number }
  | { readonly do: 'slow-disk'; readonly host: number; readonly forMs: number }
  | {
      readonly do: 'slow-engine'
      readonly host: number
      readonly maxMs: number
      readonly forMs: number
    }
  | { readonly do: 'engine-down'; readonly host: number; readonly forMs: number }
  | { readonly do: 'database-restart'; readonly downMs: number }
  | {
      readonly do: 'database-cut'
      readonly server: number
      readonly how: 'reset' | 'silent'
      readonly forMs: number
    }
  | { readonly do: 'database-slow'; readonly maxMs: number; readonly forMs: number }
  | { readonly do: 'database-full'; readonly forMs: number }
  | { readonly do: 'operator-fences'; readonly host: number; readonly server: number }
  | {
      readonly do: 'power-control'
      readonly how: 'dead' | 'lies' | 'slow'
      readonly forMs: number
    }

/** Of a plan for so many hosts; several happen at the same time. */
export type Draw = (random: Random, hosts: number) => Action | readonly Action[]
/** With their weights, in comparison with each other. */
export type Draws = readonly (readonly [number, Draw])[]
