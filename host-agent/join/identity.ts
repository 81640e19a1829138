import { X509Certificate } from 'node:crypto'
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs'
import path from 'node:path'
import { PlatformError } from '@nubo/base'
import { z } from 'zod'

/** Who this host is to the region. Key and certificate lie in one file, so that they cannot come apart. */
const identityFile = z.strictObject({
  hostId: z.uuid(),
  hostName: z.string(),
  /** PEM, PKCS #8. */
  key: z.string(),
  certificate: z.string(),
  /** The region's CA. */
  ca: z.string(),
  issuedAtMs: z.int(),
  expiresAtMs: z.int(),
  /** SHA-256 of the token that the host joined with: the same token again is nothing new. */
  tokenSha256: z.string(),
  /** Servers that the token named. */
  servers: z.array(z.string()),
})
export type Identity = z.infer<typeof identityFile>

const FILE_NAME = 'identity.json'
const PENDING_NAME = 'identity.pending.json'

/** The identity in the state folder; undefined if the host has not joined. Throws SETUP_FAILED for a broken file. */
export function readIdentity(stateDir: string): Identity | undefined {
  return readJson(path.join(stateDir, FILE_NAME), identityFile)
}

/** Replaces the identity; after a crash the old one or the new one is there, whole. Readable by its owner only. */
export function writeIdentity(stateDir: string, identity: Identity): void {
  writeAtomically(path.join(stateDir, FILE_NAME), JSON.stringify(identity))
}

const pendingJoin = z.strictObject({ key: z.string(), tokenSha256: z.string() })
type PendingJoin = z.infer<typeof pendingJoin>

/** The key of a join that was begun with this token and not finished, so that a repeated join asks for the same. */
export function readPendingJoin(stateDir: string): PendingJoin | undefined {
  return readJson(path.join(stateDir, PENDING_NAME), pendingJoin)
}

export function writePendingJoin(stateDir: string, pending: PendingJoin): void {
  writeAtomically(path.join(stateDir, PENDING_NAME), JSON.stringify(pending))
}

/** Idempotent. */
export function removePendingJoin(stateDir: string): void {
  rmSync(path.join(stateDir, PENDING_NAME), { force: true })
}

/** Throws PROTOCOL_VIOLATION if the text is no certificate. */
export function parseCertificate(pem: string): X509Certificate {
  try {
    return new X509Certificate(pem)
  } catch (cause) {
    throw new PlatformError('PROTOCOL_VIOLATION', { what: 'not a certificate' }, { cause })
  }
}

function readJson<Shape extends z.ZodType>(
  file: string,
  shape: Shape,
): z.output<Shape> | undefined {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  }
  try {
    return shape.parse(JSON.parse(text))
  } catch (cause) {
    throw new PlatformError(
      'SETUP_FAILED',
      { file, next: 'remove the file and join again with a new token' },
      { message: 'The identity of this host cannot be read.', cause },
    )
  }
}

function writeAtomically(file: string, text: string): void {
  mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 })
  const draft = `${file}.new`
  const descriptor = openSync(draft, 'w', 0o600)
  try {
    writeSync(descriptor, text)
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
  renameSync(draft, file)
  // The new name is on disk only when its folder is.
  const folder = openSync(path.dirname(file), 'r')
  try {
    fsyncSync(folder)
  } finally {
    closeSync(folder)
  }
}
