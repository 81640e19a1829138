/** Where the switch is and how its bridge shall be. */
export interface OpenVswitchOptions {
  /** Unix socket of ovsdb-server, absolute. */
  readonly ovsdbSocket: string
  /** Run directory of ovs-vswitchd, absolute: `<bridge>.mgmt`, its pid file and control socket are there. */
  readonly runDir: string
  /** 'netdev' is the userspace datapath, 'system' the kernel's. */
  readonly datapathType: 'netdev' | 'system'
  /** Address of this host's tunnel end. Host preparation gives it to the underlay bridge. */
  readonly vtepAddress: string
  readonly bridge?: string
  /** Bridge with the underlay NIC and the VTEP address; made by host preparation, needed on 'netdev'. */
  readonly underlayBridge?: string
  readonly tunnel?: {
    readonly portName?: string
    readonly ofport?: number
    readonly udpPort?: number
  }
  /** Control socket of ovs-vswitchd, if it is not the `ovs-vswitchd.<pid>.ctl` or `ovs-vswitchd.ctl` in `runDir`. */
  readonly controlSocket?: string
  /** For `prepare`, which waits for daemons that are just starting; default 15,000. */
  readonly prepareDeadlineMs?: number
}

/** The same with defaults filled in. */
export interface OpenVswitchConfig {
  readonly ovsdbSocket: string
  readonly runDir: string
  readonly datapathType: 'netdev' | 'system'
  readonly vtepAddress: string
  readonly bridge: string
  readonly underlayBridge: string
  readonly tunnel: { readonly portName: string; readonly ofport: number; readonly udpPort: number }
  readonly controlSocket: string | undefined
  readonly prepareDeadlineMs: number
}

export function withDefaults(options: OpenVswitchOptions): OpenVswitchConfig {
  return {
    ...options,
    bridge: options.bridge ?? 'br-int',
    underlayBridge: options.underlayBridge ?? 'br-phy',
    controlSocket: options.controlSocket,
    prepareDeadlineMs: options.prepareDeadlineMs ?? 15_000,
    tunnel: {
      portName: options.tunnel?.portName ?? 'vx0',
      // Far above the numbers that instances get, so that it never has to move.
      ofport: options.tunnel?.ofport ?? 65_000,
      // The port IANA gave to VXLAN.
      udpPort: options.tunnel?.udpPort ?? 4_789,
    },
  }
}
