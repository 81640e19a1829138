import type { HostId } from '@nubo/base'
import type { HostPower } from '@nubo/contracts'
import type { ProbeReport } from '@nubo/contracts/host'
import type { HostRow, Touched, Tx } from '../../world/index.ts'

/** What fleet needs from outside; adapters/certificates.ts and the simulator implement it. */
export interface CertificateAuthority {
  /** The region's CA certificate. */
  readonly caPem: string
  /** SHA-256 of the CA certificate's DER, lower-case hex; a join token carries it. */
  readonly caSha256: string

  /** For a listener, with a fresh key. `addresses`: IP addresses and DNS names that peers dial. */
  issueServer(asked: {
    commonName: string
    addresses: readonly string[]
    validityMs: number
  }): Promise<KeyedCertificate>

  /**
   * For a host's own key. Of the request only its key counts, after its signature was checked.
   * Errors: INVALID_INPUT if the request is malformed, not signed by its key, or of another kind than EC P-256.
   */
  issueHost(asked: {
    hostId: HostId
    certificateRequest: string
    serial: string
  }): Promise<IssuedCertificate>

  /**
   * The certificate whose key signs tokens for the image registry; made once per region. It is signed by itself, not by
   * the CA: a registry that trusted the CA for tokens would take one signed by any host.
   */
  registrySigner(): Promise<KeyedCertificate>
}

export interface IssuedCertificate {
  readonly certificatePem: string
  readonly expiresAtMs: number
}

export interface KeyedCertificate extends IssuedCertificate {
  /** PKCS #8. */
  readonly keyPem: string
}

/** One look at the power of a machine. */
export type PowerReading =
  | { readonly state: 'on' | 'off' }
  /** The controller does not answer, or says something else; `problem` in words for people, without secrets. */
  | { readonly state: 'unknown'; readonly problem: string }

/**
 * Management controllers of hosts; adapters/redfish.ts, and FakePowerControl for simulations. Calls end within a few
 * seconds, whatever the controller does, and may run side by side and be repeated.
 */
export interface PowerControl {
  /** Never throws. */
  read(host: PoweredHost): Promise<PowerReading>
  /**
   * Orders it off, at once and hard. What came of it is seen by `read` alone: controllers answer 409 for a machine that
   * is off already, and 204 for one that then stays on. Never throws.
   */
  off(host: PoweredHost): Promise<void>
  /** Keeps the password of the host's controller sealed, in place of the one before; null forgets it. */
  keepPassword(hostId: HostId, password: string | null): Promise<void>
}

export interface PoweredHost {
  readonly hostId: HostId
  readonly power: HostPower
}

/** Hosts that look for other hosts on the underlay; host-sessions implements it. */
export interface NeighbourProbes {
  /**
   * Has `hostId`, connected to whichever server, look for `targets`. Undefined if it did not say within `timeoutMs` and
   * a little more, or is too old for it.
   */
  probe(
    hostId: HostId,
    targets: readonly { hostId: string; address: string }[],
    timeoutMs: number,
  ): Promise<readonly ProbeReport['results'][number][] | undefined>
}

/** What becomes of instances on a host that was fenced; compute implements it. */
export interface Evacuation {
  /** In the transaction that fences: its `elsewhere` sets wait for a place from now on. */
  release(tx: Tx, touched: Touched, fenced: { host: HostRow; atMs: number }): Promise<void>
}
