import type { Action } from '../flow.ts'
import { writeStandardAction, type ActionCodec, type ActionDecoder } from './codec.ts'

export type DecTtlAction = Extract<Action, { type: 'decTtl' }>

const OFPAT_DEC_NW_TTL = 24

export const decTtlCodec: ActionCodec<DecTtlAction> = {
  encode(_action, writer) {
    writeStandardAction(writer, OFPAT_DEC_NW_TTL, () => writer.zeros(4))
  },
  format: () => 'dec_ttl',
  canonical: () => 'dec_ttl',
}

export const decTtlDecoders: readonly ActionDecoder[] = [
  { number: { standard: OFPAT_DEC_NW_TTL }, decode: () => ({ type: 'decTtl' }) },
]
