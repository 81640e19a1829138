/** On the serial port, in a line of its own, once HTTP answers and each interface has an address (or none came within 10 s). */
export const TEST_GUEST_READY = 'NUBO-GUEST READY'

/** What the test guest answers to `GET /state.json`, made for each request. `bin/nubo-state` writes it. */
export interface TestGuestState {
  readonly hostname: string
  /** Processors that are online. */
  readonly cpus: number
  /** MemTotal: what the kernel has left of the memory after taking its own. */
  readonly memoryKib: number
  /** In the order of their names. */
  readonly disks: readonly {
    /** `vda`, `sda`. */
    readonly name: string
    readonly sizeBytes: number
    /** Empty if the disk has none. */
    readonly serial: string
  }[]
  /** In the order of their names, without `lo`. */
  readonly interfaces: readonly {
    readonly name: string
    readonly mac: string
    readonly mtu: number
    /** With the length of the prefix: `10.0.0.7/24`. Without link-local ones of IPv6. */
    readonly addresses: readonly string[]
  }[]
  /** Of IPv4, as the kernel lists them. */
  readonly routes: readonly {
    /** `default`, `10.0.0.0/24`, `169.254.169.254`. */
    readonly destination: string
    readonly gateway: string | null
    readonly interface: string
  }[]
  /** Name servers, as DHCP gave them. */
  readonly dns: readonly string[]
  readonly bootedSeconds: number
  /** The instance id that the metadata service told; null as long as there is none. */
  readonly metadata: string | null
  /** SHA-256 of the bytes of the user data, in hexadecimal; null if there are none. */
  readonly userDataSha256: string | null
  /** Of the kernel. */
  readonly commandLine: string
}
