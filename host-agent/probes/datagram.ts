import { createHmac, timingSafeEqual } from 'node:crypto'
import type { ProbeAnswer } from '@nubo/contracts/host'

/**
 * Probes on the underlay: one UDP datagram asks a host, one answers. Both carry an HMAC of the region's probe key, so that
 * nobody else is answered or believed; an answer repeats the question's nonce, so that none of an earlier one counts.
 *
 *   magic 'NUBO' 4 · version 1 · kind 1 · reserved 2 · nonce 16 · host id 16 · body · HMAC-SHA-256 32
 *
 * The host id is that of the host asked, in both. A question has no body, but as many bytes as the longest answer: nobody
 * can have us send more than he sent.
 */
const MAGIC = 'NUBO'
const VERSION = 1
const ASK = 1
const ANSWER = 2
const HEADER_BYTES = 8
export const NONCE_BYTES = 16
const HOST_ID_BYTES = 16
const HMAC_BYTES = 32
const BODY_AT = HEADER_BYTES + NONCE_BYTES + HOST_ID_BYTES
const BOOT_ID_BYTES_MAX = 64
/** Lease 1, sets 4, length of the boot id 1. */
const ANSWER_FIXED_BYTES = 6
const ANSWER_BYTES_MAX = BODY_AT + ANSWER_FIXED_BYTES + BOOT_ID_BYTES_MAX + HMAC_BYTES
const ASK_BYTES = ANSWER_BYTES_MAX
export const DATAGRAM_BYTES_MAX = ANSWER_BYTES_MAX

export interface ProbeQuestion {
  readonly nonce: Uint8Array
  /** The host asked. */
  readonly hostId: string
}

export type ProbeDatagram =
  | ({ readonly kind: 'ask' } & ProbeQuestion)
  | ({ readonly kind: 'answer'; readonly answer: ProbeAnswer } & ProbeQuestion)

/** `key`: 32 bytes. */
export function encodeDatagram(datagram: ProbeDatagram, key: Uint8Array): Buffer {
  const body =
    datagram.kind === 'ask'
      ? Buffer.alloc(ASK_BYTES - BODY_AT - HMAC_BYTES)
      : bodyOf(datagram.answer)
  const header = Buffer.alloc(HEADER_BYTES)
  header.write(MAGIC, 'latin1')
  header.writeUInt8(VERSION, 4)
  header.writeUInt8(datagram.kind === 'ask' ? ASK : ANSWER, 5)
  const hostId = Buffer.from(datagram.hostId.replaceAll('-', ''), 'hex')
  const signed = Buffer.concat([header, datagram.nonce, hostId, body])
  return Buffer.concat([signed, hmacOf(signed, key)])
}

function bodyOf(answer: ProbeAnswer): Buffer {
  const bootId = Buffer.from(answer.bootId)
  const fixed = Buffer.alloc(ANSWER_FIXED_BYTES)
  fixed.writeUInt8(answer.lease === 'lasts' ? 1 : 0, 0)
  fixed.writeUInt32BE(Math.min(answer.elsewhereRunning, 2 ** 32 - 1), 1)
  fixed.writeUInt8(bootId.length, 5)
  return Buffer.concat([fixed, bootId])
}

/** Undefined if it is none of ours, or not whole. Never throws. */
export function decodeDatagram(bytes: Uint8Array, key: Uint8Array): ProbeDatagram | undefined {
  if (bytes.length > DATAGRAM_BYTES_MAX || bytes.length < BODY_AT + HMAC_BYTES) return undefined
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  const isOurs =
    buffer.toString('latin1', 0, 4) === MAGIC &&
    buffer[4] === VERSION &&
    buffer.readUInt16BE(6) === 0
  if (!isOurs) return undefined
  const signed = buffer.subarray(0, -HMAC_BYTES)
  if (!timingSafeEqual(hmacOf(signed, key), buffer.subarray(-HMAC_BYTES))) return undefined
  const nonce = Uint8Array.from(signed.subarray(HEADER_BYTES, HEADER_BYTES + NONCE_BYTES))
  const hostId = uuidOf(signed.subarray(HEADER_BYTES + NONCE_BYTES, BODY_AT))
  if (buffer[5] === ASK)
    return bytes.length === ASK_BYTES ? { kind: 'ask', nonce, hostId } : undefined
  const answer = buffer[5] === ANSWER ? answerOf(signed.subarray(BODY_AT)) : undefined
  return answer === undefined ? undefined : { kind: 'answer', nonce, hostId, answer }
}

function answerOf(body: Buffer): ProbeAnswer | undefined {
  if (body.length < ANSWER_FIXED_BYTES) return undefined
  const lease = body.readUInt8(0)
  const bootIdBytes = body.readUInt8(5)
  const isWhole =
    lease <= 1 &&
    bootIdBytes >= 1 &&
    bootIdBytes <= BOOT_ID_BYTES_MAX &&
    body.length === ANSWER_FIXED_BYTES + bootIdBytes
  if (!isWhole) return undefined
  return {
    bootId: body.toString('utf8', ANSWER_FIXED_BYTES),
    lease: lease === 1 ? 'lasts' : 'ended',
    elsewhereRunning: body.readUInt32BE(1),
  }
}

function hmacOf(signed: Uint8Array, key: Uint8Array): Buffer {
  return createHmac('sha256', key).update(signed).digest()
}

function uuidOf(bytes: Buffer): string {
  const hex = bytes.toString('hex')
  return [0, 8, 12, 16, 20].map((from, at, all) => hex.slice(from, all[at + 1] ?? 32)).join('-')
}
