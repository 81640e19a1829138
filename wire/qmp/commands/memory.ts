import { Fields } from '../fields.ts'
import { deed, listOf, question } from './command.ts'

export type MemoryDevice =
  | {
      readonly type: 'virtio-mem'
      readonly id: string | null
      /** What the guest has now. */
      readonly sizeBytes: number
      /** What it should have; changed by `qom-set` of `requested-size`. */
      readonly requestedSizeBytes: number
      readonly maxSizeBytes: number
      /** Sizes are multiples of this. */
      readonly blockSizeBytes: number
      readonly memdev: string
    }
  | {
      readonly type: 'dimm' | 'nvdimm'
      readonly id: string | null
      readonly sizeBytes: number
      readonly slot: number
      readonly isHotplugged: boolean
      readonly memdev: string
    }
  | { readonly type: 'other' }

/** Memory and balloon (qapi/machine.json). */
export const memoryCommands = {
  'query-memory-devices': question(listOf(readMemoryDevice)),
  'query-memory-size-summary': question((value, at) => {
    const fields = new Fields(value, at)
    return {
      baseBytes: fields.size('base-memory'),
      pluggedBytes: fields.optionalSize('plugged-memory') ?? 0,
    }
  }),
  /** `value`: what the guest should keep, in bytes. Without the guest's driver nothing happens. Idempotent. */
  balloon: deed<{ readonly value: number }>(),
  'query-balloon': question((value, at) => ({
    actualBytes: new Fields(value, at).size('actual'),
  })),
}

function readMemoryDevice(fields: Fields): MemoryDevice {
  const type = fields.oneOf('type', ['virtio-mem', 'dimm', 'nvdimm'])
  if (type === 'other') return { type }
  const about = fields.object('data')
  const common = {
    id: about.optionalString('id'),
    sizeBytes: about.size('size'),
    memdev: about.string('memdev'),
  }
  if (type === 'virtio-mem') {
    return {
      type,
      ...common,
      requestedSizeBytes: about.size('requested-size'),
      maxSizeBytes: about.size('max-size'),
      blockSizeBytes: about.size('block-size'),
    }
  }
  return {
    type,
    ...common,
    slot: about.integer('slot'),
    isHotplugged: about.boolean('hotplugged'),
  }
}
