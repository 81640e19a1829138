import type { HostId } from '@nubo/base'

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
