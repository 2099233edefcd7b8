// What client_node_test.py has done by @kubernetes/client-node: node client_node.mjs FUNCTION NAMESPACE
import assert from 'node:assert/strict';
import * as k8s from '@kubernetes/client-node';

const config = new k8s.KubeConfig();
config.loadFromDefault();
const core = config.makeApiClient(k8s.CoreV1Api);
const apps = config.makeApiClient(k8s.AppsV1Api);
const [, , wanted, namespace] = process.argv;

const settings = (name, data = {}, labels = {}) => ({ metadata: { name, labels }, data });
const web = (name, replicas = 2) => ({
  metadata: { name },
  spec: {
    replicas, selector: { matchLabels: { app: name } },
    template: { metadata: { labels: { app: name } }, spec: { containers: [{ name: 'main', image: 'app:1' }] } },
  },
});
const as = (type) => k8s.setHeaderOptions('Content-Type', type);

// Waits until `condition` holds, 15 s at most.
async function until(condition, what) {
  for (const end = Date.now() + 15000; !condition();) {
    assert.ok(Date.now() < end, `waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function refused(promise, code, pattern) {
  await assert.rejects(promise, (error) => {
    assert.equal(error.code, code);
    assert.match(typeof error.body === 'string' ? error.body : JSON.stringify(error.body), pattern);
    return true;
  });
}

async function objects() {
  const made = await core.createNamespacedConfigMap({ namespace, body: settings('a', { k: 'v' }) });
  assert.equal(made.metadata.namespace, namespace);
  assert.ok(made.metadata.creationTimestamp instanceof Date);
  made.data.k = 'w';
  assert.equal((await core.replaceNamespacedConfigMap({ name: 'a', namespace, body: made })).data.k, 'w');
  await core.createNamespacedConfigMap({ namespace, body: settings('b', {}, { x: 'y' }) });
  const list = await core.listNamespacedConfigMap({ namespace, labelSelector: 'x=y' });
  assert.deepEqual(list.items.map((item) => item.metadata.name), ['b']);
  const page = await core.listNamespacedConfigMap({ namespace, limit: 1 });
  assert.equal(page.items.length, 1);
  const rest = await core.listNamespacedConfigMap({ namespace, _continue: page.metadata._continue });
  assert.ok(rest.items.length >= 1);
  await core.createNamespacedPod({ namespace, body: { metadata: { name: 'p' }, spec: { containers: [{ name: 'c', image: 'i' }] } } });
  assert.equal((await core.readNamespacedPodStatus({ name: 'p', namespace })).status.phase, 'Pending');
  await apps.createNamespacedDeployment({ namespace, body: web('web') });
  const scale = await apps.readNamespacedDeploymentScale({ name: 'web', namespace });
  scale.spec.replicas = 4;
  await apps.replaceNamespacedDeploymentScale({ name: 'web', namespace, body: scale });
  assert.equal((await apps.readNamespacedDeployment({ name: 'web', namespace })).spec.replicas, 4);
  await core.deleteNamespacedConfigMap({ name: 'a', namespace });
  await core.deleteCollectionNamespacedConfigMap({ namespace, labelSelector: 'x=y' });
  assert.equal((await core.listNamespacedConfigMap({ namespace, labelSelector: 'x=y' })).items.length, 0);
}

async function patches() {
  await apps.createNamespacedDeployment({ namespace, body: web('web') });
  const patch = (type, body, more = {}) => apps.patchNamespacedDeployment({ name: 'web', namespace, body, ...more }, as(type));
  assert.equal((await patch(k8s.PatchStrategy.JsonPatch, [{ op: 'replace', path: '/spec/replicas', value: 3 }])).spec.replicas, 3);
  assert.equal((await patch(k8s.PatchStrategy.MergePatch, { spec: { replicas: 5 } })).spec.replicas, 5);
  const strategic = await patch(k8s.PatchStrategy.StrategicMergePatch, { spec: { template: { spec: { containers: [{ name: 'side', image: 's:1' }] } } } });
  assert.deepEqual(strategic.spec.template.spec.containers.map((c) => c.name).sort(), ['main', 'side']);
  const wanted = { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'web' }, spec: { replicas: 7 } };
  await refused(patch(k8s.PatchStrategy.ServerSideApply, wanted, { fieldManager: 'other' }), 409, /conflict/);
  assert.equal((await patch(k8s.PatchStrategy.ServerSideApply, wanted, { fieldManager: 'other', force: true })).spec.replicas, 7);
}

async function errors() {
  await refused(core.readNamespacedPod({ name: 'none', namespace }), 404, /pods \\?"none\\?" not found/);
  await core.createNamespacedConfigMap({ namespace, body: settings('a') });
  await refused(core.createNamespacedConfigMap({ namespace, body: settings('a') }), 409, /AlreadyExists/);
  await refused(core.createNamespacedPod({ namespace, body: { metadata: { name: 'p' }, spec: { containers: [] } } }), 422, /spec.containers: Required value/);
}

async function watch() {
  const { metadata } = await core.listNamespacedConfigMap({ namespace });
  const seen = [];
  let ended;
  const controller = await new k8s.Watch(config).watch(`/api/v1/namespaces/${namespace}/configmaps`,
    { resourceVersion: metadata.resourceVersion, allowWatchBookmarks: true }, (type, object) => seen.push(`${type} ${object.metadata.name}`),
    (error) => { ended = error ?? 'ended'; });
  await core.createNamespacedConfigMap({ namespace, body: settings('a') });
  await core.patchNamespacedConfigMap({ name: 'a', namespace, body: { data: { k: 'v' } } }, as(k8s.PatchStrategy.MergePatch));
  await core.deleteNamespacedConfigMap({ name: 'a', namespace });
  await until(() => seen.filter((line) => !line.startsWith('BOOKMARK')).length >= 3, 'three events');
  assert.deepEqual(seen.filter((line) => !line.startsWith('BOOKMARK')), ['ADDED a', 'MODIFIED a', 'DELETED a']);
  controller.abort();
  await until(() => ended, 'the watch to end');
}

async function informer() {
  await core.createNamespacedConfigMap({ namespace, body: settings('old', {}, { watched: 'yes' }) });
  const list = () => core.listNamespacedConfigMap({ namespace, labelSelector: 'watched=yes' });
  const informer = k8s.makeInformer(config, `/api/v1/namespaces/${namespace}/configmaps`, list, 'watched=yes');
  const seen = [];
  for (const verb of ['add', 'update', 'delete']) informer.on(verb, (object) => seen.push(`${verb} ${object.metadata.name}`));
  informer.on('error', (error) => seen.push(`error ${error}`));
  await informer.start();
  await until(() => seen.includes('add old'), 'what was there');
  await core.createNamespacedConfigMap({ namespace, body: settings('new', {}, { watched: 'yes' }) });
  await core.createNamespacedConfigMap({ namespace, body: settings('unwatched') });
  await core.patchNamespacedConfigMap({ name: 'new', namespace, body: { data: { k: 'v' } } }, as(k8s.PatchStrategy.MergePatch));
  await core.patchNamespacedConfigMap({ name: 'new', namespace, body: { metadata: { labels: { watched: 'no' } } } }, as(k8s.PatchStrategy.MergePatch));
  await until(() => seen.includes('delete new'), 'the object to leave the selection');
  assert.deepEqual(seen.filter((line) => line.endsWith(' new')), ['add new', 'update new', 'delete new']);
  assert.equal(informer.list(namespace).map((item) => item.metadata.name).join(), 'old');
  await informer.stop();
}

function definition(group) {
  return {
    metadata: { name: `boats.${group}` },
    spec: {
      group, scope: 'Namespaced', names: { plural: 'boats', singular: 'boat', kind: 'Boat' },
      versions: [{
        name: 'v1', served: true, storage: true, subresources: { status: {} },
        schema: { openAPIV3Schema: { type: 'object', properties: { spec: { type: 'object', properties: { sails: { type: 'integer', _default: 1 } } }, status: { type: 'object', x_kubernetes_preserve_unknown_fields: true } } } },
      }],
    },
  };
}

async function customResources() {
  const group = `${namespace}.example.com`, where = { group, version: 'v1', namespace, plural: 'boats' };
  const extensions = config.makeApiClient(k8s.ApiextensionsV1Api);
  await extensions.createCustomResourceDefinition({ body: definition(group) });
  const custom = config.makeApiClient(k8s.CustomObjectsApi);
  const boat = { apiVersion: `${group}/v1`, kind: 'Boat', metadata: { name: 'proa' }, spec: {} };
  const made = await custom.createNamespacedCustomObject({ ...where, body: boat });
  assert.equal(made.spec.sails, 1);
  made.spec.sails = 2;
  assert.equal((await custom.replaceNamespacedCustomObject({ ...where, name: 'proa', body: made })).spec.sails, 2);
  const merged = await custom.patchNamespacedCustomObject({ ...where, name: 'proa', body: { spec: { sails: 3 } } }, as(k8s.PatchStrategy.MergePatch));
  assert.equal(merged.spec.sails, 3);
  const status = await custom.patchNamespacedCustomObjectStatus({ ...where, name: 'proa', body: { status: { phase: 'afloat' } } }, as(k8s.PatchStrategy.MergePatch));
  assert.equal(status.status.phase, 'afloat');
  assert.equal((await custom.listNamespacedCustomObject(where)).items.length, 1);
  await refused(custom.createNamespacedCustomObject({ ...where, body: { ...boat, metadata: { name: 'b' }, spec: { sails: 'many' } } }), 422, /spec.sails/);
  await custom.deleteNamespacedCustomObject({ ...where, name: 'proa' });
  await extensions.deleteCustomResourceDefinition({ name: `boats.${group}` });
}

async function genericObjects() {
  const api = k8s.KubernetesObjectApi.makeApiClient(config);
  const object = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'generic', namespace }, data: { a: 'b' } };
  await api.create(object);
  assert.equal((await api.read(object)).data.a, 'b');
  await api.patch({ ...object, data: { a: 'c' } }, undefined, undefined, undefined, undefined, k8s.PatchStrategy.MergePatch);
  assert.equal((await api.list('v1', 'ConfigMap', namespace)).items.find((item) => item.metadata.name === 'generic').data.a, 'c');
  await api.delete(object);
}

async function access() {
  const authorization = config.makeApiClient(k8s.AuthorizationV1Api);
  const review = await authorization.createSelfSubjectAccessReview({ body: { spec: { resourceAttributes: { verb: 'get', resource: 'pods', namespace } } } });
  assert.equal(review.status.allowed, true);
  await core.createNamespacedServiceAccount({ namespace, body: { metadata: { name: 'robot' } } });
  const token = await core.createNamespacedServiceAccountToken({ name: 'robot', namespace, body: { spec: { audiences: [], expirationSeconds: 600 } } });
  const robot = new k8s.KubeConfig();
  robot.loadFromOptions({
    clusters: [config.getCurrentCluster()], users: [{ name: 'robot', token: token.status.token }],
    contexts: [{ name: 'robot', cluster: config.getCurrentCluster().name, user: 'robot' }], currentContext: 'robot',
  });
  await refused(robot.makeApiClient(k8s.CoreV1Api).listNamespacedSecret({ namespace }), 403, /cannot list resource/);
  const version = await config.makeApiClient(k8s.VersionApi).getCode();
  assert.equal(`${version.major}.${version.minor}`, '1.34');
}

const all = { objects, patches, errors, watch, informer, customResources, genericObjects, access };
await all[wanted]();
console.log(`${wanted} done`);
process.exit(0);
