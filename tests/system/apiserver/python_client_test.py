#!/usr/bin/env python3
"""The Python client: typed objects, patches, watches with and without versions, dynamic and custom resources, leader election's lock."""

import datetime
import json
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lib import packages  # noqa: E402
from lib.case import main, until  # noqa: E402
from lib.cluster import ClusterTest, deployment, document  # noqa: E402


class PythonClient(ClusterTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        sys.path.insert(0, str(packages.python_client()))
        import kubernetes
        cls.k8s = kubernetes
        kubernetes.config.load_kube_config(str(cls.cluster.kubeconfig))
        cls.core = kubernetes.client.CoreV1Api()
        cls.apps = kubernetes.client.AppsV1Api()

    def refuses(self, status, pattern, function, *args, **kwargs):
        with self.assertRaises(self.k8s.client.ApiException) as caught:
            function(*args, **kwargs)
        self.assertEqual(status, caught.exception.status)
        self.assertRegex(caught.exception.body, pattern)

    def settings(self, name, data=None, **labels):
        meta = self.k8s.client.V1ObjectMeta(name=name, labels=labels or None)
        return self.core.create_namespaced_config_map(self.ns, self.k8s.client.V1ConfigMap(metadata=meta, data=data))

    def test_objects(self):
        made = self.settings("a", {"k": "v"}, x="y")
        self.assertIsInstance(made.metadata.creation_timestamp, datetime.datetime)
        made.data["k"] = "w"
        self.assertEqual("w", self.core.replace_namespaced_config_map("a", self.ns, made).data["k"])
        self.assertEqual(["a"], [item.metadata.name for item in self.core.list_namespaced_config_map(self.ns, label_selector="x=y").items])
        self.refuses(404, 'configmaps \\\\"b\\\\" not found', self.core.read_namespaced_config_map, "b", self.ns)
        self.refuses(409, "AlreadyExists", self.settings, "a")
        self.core.delete_namespaced_config_map("a", self.ns, body=self.k8s.client.V1DeleteOptions(propagation_policy="Foreground"))
        until(lambda: not self.core.list_namespaced_config_map(self.ns, field_selector="metadata.name=a").items, "the object to go")

    def test_pages(self):
        for number in range(7):
            self.settings(f"page-{number}", page="yes")
        names, token = [], None
        while True:
            page = self.core.list_namespaced_config_map(self.ns, label_selector="page=yes", limit=3, _continue=token)
            names += [item.metadata.name for item in page.items]
            token = page.metadata._continue
            if not token:
                break
        self.assertEqual([f"page-{number}" for number in range(7)], names)

    def test_patches(self):
        self.apps.create_namespaced_deployment(self.ns, deployment("web"))
        self.assertEqual(3, self.apps.patch_namespaced_deployment("web", self.ns, {"spec": {"replicas": 3}}).spec.replicas)
        patched = self.apps.patch_namespaced_deployment("web", self.ns, [{"op": "replace", "path": "/spec/replicas", "value": 4}])
        self.assertEqual(4, patched.spec.replicas)
        scale = self.apps.patch_namespaced_deployment_scale("web", self.ns, {"spec": {"replicas": 5}})
        self.assertEqual(5, scale.spec.replicas)
        self.apps.patch_namespaced_deployment_status("web", self.ns, {"status": {"replicas": 5}})
        self.assertEqual(5, self.apps.read_namespaced_deployment_status("web", self.ns).status.replicas)

    def test_watch_of_a_list(self):
        listed = self.core.list_namespaced_config_map(self.ns)
        seen = []

        def follow():
            watch = self.k8s.watch.Watch()
            for event in watch.stream(self.core.list_namespaced_config_map, self.ns, resource_version=listed.metadata.resource_version,
                                      label_selector="seen=yes", timeout_seconds=20):
                seen.append((event["type"], event["object"].metadata.name))
                if event["type"] == "DELETED":
                    watch.stop()
        thread = threading.Thread(target=follow)
        thread.start()
        self.settings("a", {"k": "v"}, seen="yes")
        self.settings("b")
        self.core.patch_namespaced_config_map("a", self.ns, {"data": {"k": "w"}})
        self.core.delete_namespaced_config_map("a", self.ns)
        thread.join(30)
        self.assertEqual([("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")], seen)

    def test_a_watch_over_websocket(self):
        """As browsers do: the token is a subprotocol, each message one event."""
        import base64
        import ssl
        import websocket
        access = self.k8s.client.RbacAuthorizationV1Api()
        self.core.create_namespaced_service_account(self.ns, document("ServiceAccount", "page"))
        access.create_namespaced_role_binding(self.ns, document(
            "RoleBinding", "page", apiVersion="rbac.authorization.k8s.io/v1", roleRef={"kind": "ClusterRole", "name": "view"},
            subjects=[{"kind": "ServiceAccount", "name": "page", "namespace": self.ns}]))
        request = self.k8s.client.AuthenticationV1TokenRequest(spec=self.k8s.client.V1TokenRequestSpec(audiences=[]))
        token = self.core.create_namespaced_service_account_token("page", self.ns, request).status.token
        carried = "base64url.bearer.authorization.k8s.io." + base64.urlsafe_b64encode(token.encode()).decode().rstrip("=")
        address = self.cluster.url.replace("https", "wss") + f"/api/v1/namespaces/{self.ns}/configmaps?watch=1&labelSelector=seen%3Dyes"

        def connect(*protocols):
            return websocket.create_connection(address, sslopt={"cert_reqs": ssl.CERT_NONE}, subprotocols=protocols, timeout=20)

        with self.assertRaisesRegex(websocket.WebSocketBadStatusException, "403"):
            connect("base64.binary.k8s.io")
        page = connect(carried, "base64.binary.k8s.io")
        self.assertEqual("base64.binary.k8s.io", page.getsubprotocol())
        self.settings("a", {"k": "v"}, seen="yes")
        self.core.delete_namespaced_config_map("a", self.ns)
        events = [json.loads(page.recv()) for _ in range(2)]
        self.assertEqual([("ADDED", "a"), ("DELETED", "a")], [(event["type"], event["object"]["metadata"]["name"]) for event in events])
        page.close()
        address += "&timeoutSeconds=1"
        self.assertEqual("", connect(carried, "base64.binary.k8s.io").recv())  # ends as it should

    def test_a_watch_ends_when_its_time_is_up(self):
        self.assertEqual([], [event for event in self.k8s.watch.Watch().stream(self.core.list_namespaced_secret, self.ns, timeout_seconds=1)])

    def test_dynamic_client(self):
        from kubernetes.dynamic import DynamicClient
        client = DynamicClient(self.k8s.client.ApiClient())
        maps = client.resources.get(api_version="v1", kind="ConfigMap")
        maps.create(body=document("ConfigMap", "a", data={"k": "v"}), namespace=self.ns)
        applied = maps.server_side_apply(body=document("ConfigMap", "a", data={"n": "m"}), name="a", namespace=self.ns, field_manager="me")
        self.assertEqual({"k": "v", "n": "m"}, applied.data.to_dict())
        self.assertEqual(["a"], [item.metadata.name for item in maps.get(namespace=self.ns, field_selector="metadata.name=a").items])
        maps.delete(name="a", namespace=self.ns)

    def test_custom_resources(self):
        group = f"{self.ns}.example.com"
        extensions, custom = self.k8s.client.ApiextensionsV1Api(), self.k8s.client.CustomObjectsApi()
        schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"sails": {"type": "integer", "default": 2}}}}}
        extensions.create_custom_resource_definition(document("CustomResourceDefinition", f"boats.{group}", "apiextensions.k8s.io/v1", spec={
            "group": group, "scope": "Namespaced", "names": {"plural": "boats", "kind": "Boat"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}]}))
        self.addCleanup(extensions.delete_custom_resource_definition, f"boats.{group}")
        where = (group, "v1", self.ns, "boats")
        self.assertEqual(2, custom.create_namespaced_custom_object(*where, document("Boat", "proa", f"{group}/v1", spec={}))["spec"]["sails"])
        self.assertEqual(3, custom.patch_namespaced_custom_object(*where, "proa", {"spec": {"sails": 3}})["spec"]["sails"])
        self.assertEqual(1, len(custom.list_namespaced_custom_object(*where)["items"]))
        self.refuses(422, "spec.sails", custom.create_namespaced_custom_object, *where, document("Boat", "b", f"{group}/v1", spec={"sails": "x"}))
        custom.delete_namespaced_custom_object(*where, "proa")

    def test_leases_are_compared_and_swapped(self):
        coordination = self.k8s.client.CoordinationV1Api()
        now = datetime.datetime.now(datetime.timezone.utc)
        lease = coordination.create_namespaced_lease(self.ns, {"metadata": {"name": "leader"}, "spec": {
            "holderIdentity": "one", "leaseDurationSeconds": 15, "renewTime": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")}})
        self.assertEqual(now.replace(microsecond=now.microsecond), lease.spec.renew_time)
        stale = lease.metadata.resource_version
        lease.spec.holder_identity = "two"
        coordination.replace_namespaced_lease("leader", self.ns, lease)
        lease.metadata.resource_version, lease.spec.holder_identity = stale, "three"
        self.refuses(409, "the object has been modified", coordination.replace_namespaced_lease, "leader", self.ns, lease)

    def test_as_a_service_account(self):
        self.core.create_namespaced_service_account(self.ns, {"metadata": {"name": "robot"}})
        token = self.core.create_namespaced_service_account_token("robot", self.ns, {"spec": {"expirationSeconds": 600, "audiences": []}}).status.token
        settings = self.k8s.client.Configuration.get_default_copy()
        settings.cert_file = settings.key_file = None
        settings.api_key = {"authorization": f"Bearer {token}"}
        robot = self.k8s.client.CoreV1Api(self.k8s.client.ApiClient(settings))
        self.refuses(403, f"system:serviceaccount:{self.ns}:robot", robot.list_namespaced_secret, self.ns)
        self.kubectl("create", "rolebinding", "robot", "--clusterrole=view", f"--serviceaccount={self.ns}:robot")
        until(lambda: robot.list_namespaced_config_map(self.ns), "the role to hold")
        settings.api_key = {"authorization": "Bearer not.a.token"}
        self.refuses(401, "Unauthorized", self.k8s.client.CoreV1Api(self.k8s.client.ApiClient(settings)).list_namespaced_config_map, self.ns)

    def test_utils_create_from_yaml(self):
        path = self.folder / "two.yaml"
        path.write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\n---\napiVersion: v1\nkind: Service\nmetadata: {name: two}\nspec: {ports: [{port: 80}]}\n")
        self.k8s.utils.create_from_yaml(self.k8s.client.ApiClient(), str(path), namespace=self.ns)
        self.assertEqual(80, self.core.read_namespaced_service("two", self.ns).spec.ports[0].target_port)


if __name__ == "__main__":
    packages.need(packages.kubectl, packages.python_client)
    main()
