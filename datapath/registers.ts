import type { Action, Bits, FieldName, Match } from '@nubo/wire-openflow'

/**
 * What the pipeline knows about a packet between two tables: every register bit has one name, one meaning, one line
 * here. All registers are zero when a packet comes in. A test proves that no two names share a bit.
 */
const layout = {
  /** The network the packet belongs to, as its VNI. Rows that look at addresses always match it: networks overlap. */
  network: { field: 'reg0', from: 0, to: 23 },
  /** Where the packet came in: a value of `source`. */
  source: { field: 'reg0', from: 24, to: 25 },
  /** Whether it was sent to the gateway: a value of `layer`. */
  layer: { field: 'reg0', from: 26, to: 26 },
  /** What `locate` (or a responder) decided: a value of `destination`. */
  destination: { field: 'reg0', from: 28, to: 29 },
  /** First address of the sender's subnet. Subnets of a network never overlap, so it names the subnet in its network. */
  sourceSubnet: { field: 'reg1', from: 0, to: 31 },
  /** OpenFlow port of a destination on this host; valid with `destination.port`. */
  destinationPort: { field: 'reg2', from: 0, to: 31 },
  /** Tunnel address of the destination's host; valid with `destination.vtep`. */
  destinationVtep: { field: 'reg3', from: 0, to: 31 },
  /** Third hand for swapping two MACs (reg4 and reg5); means nothing in the next table. */
  swapMac: { field: 'xreg2', from: 0, to: 47 },
  /** Third hand for swapping two IPv4 addresses; means nothing in the next table. */
  swapAddress: { field: 'reg6', from: 0, to: 31 },
} as const satisfies Record<string, Bits>

export type RegisterName = keyof typeof layout
/** Registers that rows match and write; the swap registers are only moved through. */
type ValueRegister = Exclude<RegisterName, 'swapMac' | 'swapAddress'>
export type RegisterValues = { readonly [Name in ValueRegister]?: number }

/** Values of the register `source`. The sender's port itself is the packet's in_port. */
export const source = { port: 1, tunnel: 2 } as const
/** Values of the register `layer`: bridged by MAC inside a subnet, or routed by address. */
export const layer = { bridged: 0, routed: 1 } as const
/** Values of the register `destination`. 0 is "not decided". `back` answers the sender. */
export const destination = { port: 1, vtep: 2, back: 3 } as const

/** The bits of a register, for moves and outputs. */
export function register(name: RegisterName): Bits {
  return layout[name]
}

export const registerNames = Object.keys(layout) as RegisterName[] // proof: keys of a const object

interface MaskedWord {
  value: number
  mask: number
}

/** Gathers named values into one value and mask per 32-bit register: one match field and one action each. */
function gather(values: RegisterValues): Map<FieldName, MaskedWord> {
  const words = new Map<FieldName, MaskedWord>()
  for (const name in values) {
    const key = name as ValueRegister // proof: RegisterValues has no other keys
    const value = values[key]
    if (value === undefined) continue
    const { field, from, to } = layout[key]
    const size = 2 ** (to - from + 1)
    if (!Number.isInteger(value) || value < 0 || value >= size) {
      throw new RangeError(`register ${name}: ${value} does not fit`)
    }
    const word = words.get(field) ?? { value: 0, mask: 0 }
    // Multiplication instead of shifts: bit 31 must not turn the number negative.
    word.value += value * 2 ** from
    word.mask += (size - 1) * 2 ** from
    words.set(field, word)
  }
  return words
}

/** The part of a match that demands these values. Throws a RangeError if a value does not fit its bits. */
export function whereRegisters(values: RegisterValues): Match {
  const match: { [K in FieldName]?: number | MaskedWord } = {}
  for (const [field, word] of gather(values)) {
    match[field] = word.mask === 0xffff_ffff ? word.value : word
  }
  return match
}

/** Actions that set these values and leave all other bits alone. Throws a RangeError if a value does not fit. */
export function writeRegisters(values: RegisterValues): Action[] {
  const actions: Action[] = []
  for (const [field, word] of gather(values)) {
    const value = word.mask === 0xffff_ffff ? word.value : word
    actions.push({ type: 'setField', field, value })
  }
  return actions
}
