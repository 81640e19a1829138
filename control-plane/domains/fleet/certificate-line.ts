import type { Random } from '@nubo/base'
import type { World } from '../../world/index.ts'

/**
 * Which certificates of a host count. Each join begins a line: 8 random bytes that the host's row keeps and that begin
 * the serial of every certificate of that join. A renewal gives another serial of the same line, so it writes nothing,
 * may be repeated when a reply was lost, and the certificate before it works until it expires. A new join, or the
 * removal of the host, ends all certificates of the line at once.
 */
export type CertificateLine = string

const LINE_BYTES = 8
const REST_BYTES = 8

/** Who a certificate of our CA says its bearer is; `serial` as lower-case hex. */
export interface HostCertificate {
  readonly hostId: string
  readonly serial: string
}

export function newCertificateLine(random: Random): CertificateLine {
  const bytes = Buffer.from(random.bytes(LINE_BYTES))
  // A serial is positive and its first byte is never zero (RFC 5280, section 4.1.2.2): its hex text has one form.
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40
  return bytes.toString('hex')
}

export function serialOfLine(line: CertificateLine, random: Random): string {
  return line + Buffer.from(random.bytes(REST_BYTES)).toString('hex')
}

/** Whether the host is known and its present line has this certificate. Expiry is checked where TLS ends. */
export function isAdmitted(world: World, certificate: HostCertificate): boolean {
  const line = world.host.get(certificate.hostId)?.certificateSerial
  return (
    line !== undefined &&
    line !== null &&
    line.length === LINE_BYTES * 2 &&
    certificate.serial.startsWith(line)
  )
}
