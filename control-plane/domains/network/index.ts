export { networkBindings } from './routes.ts'
export { createNetworkService, type NetworkService } from './service.ts'
export { bindPort, deletePorts, insertPort, portsOfSets, unbindPorts } from './store.ts'
export { networkView, portView, subnetView } from './views.ts'
