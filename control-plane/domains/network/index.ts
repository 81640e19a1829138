export { checkGuestAddress, checkNetworkRange, checkSubnetRange } from './network.ts'
export { networkBindings } from './routes.ts'
export { createNetworkService, type NetworkService } from './service.ts'
export {
  bindPort,
  deletePorts,
  insertPorts,
  portsOfInstances,
  unbindPorts,
  type PortAsked,
} from './store.ts'
export { networkView, portView, subnetView } from './views.ts'
