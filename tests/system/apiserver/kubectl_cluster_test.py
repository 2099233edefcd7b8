#!/usr/bin/env python3
"""kubectl on what runs the cluster: workloads' verbs, nodes, access, certificates, events, custom resources."""

import base64
import json
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lib import packages  # noqa: E402
from lib.case import main, until  # noqa: E402
from lib.cluster import ClusterTest, deployment, document, pod  # noqa: E402


def definition(plural, kind, group, scope="Namespaced", **version):
    """A CustomResourceDefinition of one version."""
    schema = {"type": "object", "properties": {
        "spec": {"type": "object", "properties": {"size": {"type": "integer", "minimum": 1, "default": 3, "description": "How big it is."},
                                                  "color": {"type": "string"}}},
        "status": {"type": "object", "properties": {"phase": {"type": "string"}}}}}
    return document("CustomResourceDefinition", f"{plural}.{group}", "apiextensions.k8s.io/v1", spec={
        "group": group, "scope": scope, "names": {"plural": plural, "singular": kind.lower(), "kind": kind, "shortNames": [plural[:2]]},
        "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}, "subresources": {"status": {}},
                      "additionalPrinterColumns": [{"name": "Size", "type": "integer", "jsonPath": ".spec.size"}], **version}]})


class Workloads(ClusterTest):
    def setUp(self):
        super().setUp()
        self.apply(deployment("web"))

    def test_scale(self):
        self.assertIn("scaled", self.kubectl("scale", "deploy/web", "--replicas=5"))
        self.assertEqual("5", self.field(".spec.replicas", "deploy", "web"))
        self.assertRegex(self.refused("scale", "deploy/web", "--current-replicas=1", "--replicas=2"), "[Ee]xpected replicas to be 1, was 5")
        self.apply(document("ReplicationController", "rc", spec={"replicas": 1, "selector": {"a": "b"}, "template": {
            "metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}))
        self.kubectl("scale", "rc/rc", "--replicas=3")
        self.assertEqual("3", self.field(".spec.replicas", "rc", "rc"))

    def test_autoscale(self):
        self.assertIn("horizontalpodautoscaler.autoscaling/web autoscaled", self.kubectl("autoscale", "deploy/web", "--min=2", "--max=9", "--cpu-percent=80"))
        self.assertEqual("80", self.field(".spec.metrics[0].resource.target.averageUtilization", "horizontalpodautoscalers.v2.autoscaling", "web"))
        self.assertEqual("80", self.field(".spec.targetCPUUtilizationPercentage", "horizontalpodautoscalers.v1.autoscaling", "web"))
        self.assertRegex(self.kubectl("get", "hpa"), r"REFERENCE +TARGETS +MINPODS +MAXPODS[\s\S]*Deployment/web +cpu: <unknown>/80% +2 +9")

    def test_expose(self):
        self.assertIn("service/web exposed", self.kubectl("expose", "deploy/web", "--port=80", "--target-port=8080"))
        service = self.get("service", "web")["spec"]
        self.assertEqual(({"app": "web"}, 80, 8080, "TCP"), (service["selector"], *(service["ports"][0][k] for k in ("port", "targetPort", "protocol"))))
        self.assertRegex(self.kubectl("get", "service", "web"), r"web +ClusterIP +10\.[\d.]+ +<none> +80/TCP")

    def test_rollouts(self):
        self.assertIn("restarted", self.kubectl("rollout", "restart", "deploy/web"))
        self.assertTrue(self.field(r".spec.template.metadata.annotations.kubectl\.kubernetes\.io/restartedAt", "deploy", "web"))
        self.assertIn("paused", self.kubectl("rollout", "pause", "deploy/web"))
        self.assertIn("is already paused", self.refused("rollout", "pause", "deploy/web"))
        self.assertIn("resumed", self.kubectl("rollout", "resume", "deploy/web"))
        self.assertIn("deployment.apps/web", self.kubectl("rollout", "history", "deploy/web"))
        self.assertIn("no rollout history found", self.refused("rollout", "undo", "deploy/web"))
        self.kubectl("patch", "deploy", "web", "--subresource=status", "--type=merge", "-p", json.dumps({"status": {
            "observedGeneration": int(self.field(".metadata.generation", "deploy", "web")), "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2, "readyReplicas": 2}}))
        self.assertIn("successfully rolled out", self.kubectl("rollout", "status", "deploy/web", "--timeout=10s"))

    def test_undo_of_a_revision(self):
        uid = self.field(".metadata.uid", "deploy", "web")
        for revision, image in (("1", "app:1"), ("2", "app:2")):
            labels = {"app": "web", "pod-template-hash": f"h{revision}"}
            replicas = document("ReplicaSet", f"web-{revision}", "apps/v1", labels, spec={"replicas": 0, "selector": {"matchLabels": labels}, "template": {
                "metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": image}]}}})
            replicas["metadata"]["annotations"] = {"deployment.kubernetes.io/revision": revision}
            replicas["metadata"]["ownerReferences"] = [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": uid, "controller": True}]
            self.apply(replicas)
        self.kubectl("set", "image", "deploy/web", "main=app:2")
        self.kubectl("annotate", "deploy", "web", "deployment.kubernetes.io/revision=2", "--overwrite")
        self.assertRegex(self.kubectl("rollout", "history", "deploy/web"), r"(?m)^1 +<none>\n2 ")
        self.assertIn("rolled back", self.kubectl("rollout", "undo", "deploy/web", "--to-revision=1"))
        self.assertEqual("app:1", self.field(".spec.template.spec.containers[0].image", "deploy", "web"))

    def test_stateful_and_daemon_sets(self):
        template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
        self.apply(document("StatefulSet", "db", "apps/v1", spec={"serviceName": "db", "selector": {"matchLabels": {"a": "b"}}, "template": template}),
                   document("DaemonSet", "agent", "apps/v1", spec={"selector": {"matchLabels": {"a": "b"}}, "template": template}))
        self.kubectl("scale", "statefulset/db", "--replicas=3")
        self.kubectl("rollout", "restart", "daemonset/agent")
        self.assertRegex(self.kubectl("get", "sts,ds"), r"statefulset.apps/db +0/3[\s\S]*daemonset.apps/agent +0 +0 +0 +0 +0 +<none>")
        self.kubectl("rollout", "history", "statefulset/db")


class Nodes(ClusterTest):
    def setUp(self):
        super().setUp()
        self.node = f"{self.ns}-node"
        self.apply(document("Node", self.node, labels={"kubernetes.io/hostname": self.node}))
        self.addCleanup(self.run_kubectl, "delete", "node", self.node, ns=None)

    def test_get_and_describe(self):
        self.assertRegex(self.kubectl("get", "nodes", ns=None), rf"NAME +STATUS +ROLES +AGE +VERSION[\s\S]*{self.node} +Unknown +<none>")
        self.assertIn("node.kubernetes.io/not-ready:NoSchedule", self.kubectl("describe", "node", self.node, ns=None))

    def test_taints(self):
        self.assertIn("tainted", self.kubectl("taint", "node", self.node, "key=value:NoExecute", ns=None))
        self.assertIn("already has key taint", self.refused("taint", "node", self.node, "key=other:NoExecute", ns=None))
        self.kubectl("taint", "node", self.node, "key=other:NoExecute", "--overwrite", ns=None)
        self.assertIn("untainted", self.kubectl("taint", "node", self.node, "key:NoExecute-", ns=None))

    def place(self, name, **metadata):
        self.apply({**pod(name), "metadata": {"name": name, **metadata}})
        binding = document("Binding", name, target={"kind": "Node", "name": self.node})
        self.kubectl("create", "--raw", f"/api/v1/namespaces/{self.ns}/pods/{name}/binding", "-f", "-", stdin=json.dumps(binding))
        self.assertEqual(self.node, self.field(".spec.nodeName", "pod", name))

    def test_cordon_and_drain(self):
        self.assertIn("cordoned", self.kubectl("cordon", self.node, ns=None))
        self.assertRegex(self.kubectl("get", "node", self.node, ns=None), "SchedulingDisabled")
        self.assertIn("uncordoned", self.kubectl("uncordon", self.node, ns=None))
        self.place("alone")
        self.assertIn("cannot delete", self.refused("drain", self.node, "--timeout=5s", ns=None))
        self.assertIn("evicting pod", self.kubectl("drain", self.node, "--force", "--grace-period=0", "--timeout=30s", ns=None) + self.said)
        self.assertIn("NotFound", self.refused("get", "pod", "alone"))
        self.kubectl("uncordon", self.node, ns=None)

    def test_a_budget_holds_an_eviction_back(self):
        self.place("kept", labels={"app": "kept"})
        self.kubectl("patch", "pod", "kept", "--subresource=status", "--type=merge", "-p", '{"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]}}')
        self.kubectl("create", "poddisruptionbudget", "budget", "--selector=app=kept", "--min-available=1")
        # What the disruption controller would find.
        self.kubectl("patch", "poddisruptionbudget", "budget", "--subresource=status", "--type=merge", "-p",
                     '{"status":{"observedGeneration":1,"disruptionsAllowed":0,"currentHealthy":1,"desiredHealthy":1,"expectedPods":1}}')
        self.assertRegex(self.refused("drain", self.node, "--force", "--grace-period=0", "--timeout=6s", ns=None), "Cannot evict pod as it would violate the pod's disruption budget")
        self.assertEqual("", self.field(".metadata.deletionTimestamp", "pod", "kept"))


class Access(ClusterTest):
    def test_can_i(self):
        self.assertEqual("yes\n", self.kubectl("auth", "can-i", "delete", "pods"))
        self.assertEqual(1, self.run_kubectl("auth", "can-i", "delete", "pods", "--as=jane").returncode)
        self.kubectl("create", "role", "reader", "--verb=get,list", "--resource=pods")
        self.kubectl("create", "rolebinding", "reader", "--role=reader", "--user=jane", f"--serviceaccount={self.ns}:robot")
        self.assertEqual("yes\n", self.kubectl("auth", "can-i", "list", "pods", "--as=jane"))
        self.assertRegex(self.kubectl("auth", "can-i", "--list", "--as=jane"), r"pods +\[\] +\[\] +\[get list\]")
        self.assertEqual('Error from server (Forbidden): secrets is forbidden: User "jane" cannot list resource "secrets" in API group "" in the namespace "' + self.ns + '"\n',
                         self.refused("get", "secrets", "--as=jane"))
        self.kubectl("get", "pods", f"--as=system:serviceaccount:{self.ns}:robot")

    def test_whoami(self):
        said = json.loads(self.kubectl("auth", "whoami", "-o", "json", "--as=jane", "--as-group=team", ns=None))["status"]["userInfo"]
        self.assertEqual(("jane", {"team", "system:authenticated"}), (said["username"], set(said["groups"])))
        self.assertRegex(self.kubectl("auth", "whoami", ns=None), r"(?s)ATTRIBUTE.*Groups +\[system:masters system:authenticated\]")

    def test_reconcile(self):
        role = document("Role", "made", "rbac.authorization.k8s.io/v1", rules=[{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}])
        role["metadata"]["namespace"] = self.ns
        self.assertIn("role.rbac.authorization.k8s.io/made reconciled", self.kubectl("auth", "reconcile", "-f", "-", stdin=json.dumps(role)))
        role["rules"][0]["verbs"] = ["list"]
        self.kubectl("auth", "reconcile", "-f", "-", stdin=json.dumps(role))
        verbs = {verb for rule in self.get("role", "made")["rules"] for verb in rule["verbs"]}
        self.assertEqual({"get", "list"}, verbs)

    def test_roles_cannot_be_escalated(self):
        self.kubectl("create", "role", "author", "--verb=create", "--resource=roles.rbac.authorization.k8s.io")
        self.kubectl("create", "rolebinding", "author", "--role=author", "--user=jane")
        self.assertIn("is attempting to grant RBAC permissions not currently held", self.refused("create", "role", "more", "--verb=get", "--resource=secrets", "--as=jane"))

    def test_certificates(self):
        subprocess.run(["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", self.folder / "key.pem",
                        "-out", self.folder / "csr.pem", "-subj", "/O=team/CN=anna"], check=True, capture_output=True)
        for name, verdict in ((f"{self.ns}-yes", "approve"), (f"{self.ns}-no", "deny")):
            request = document("CertificateSigningRequest", name, "certificates.k8s.io/v1", spec={
                "request": base64.b64encode((self.folder / "csr.pem").read_bytes()).decode(), "signerName": "kubernetes.io/kube-apiserver-client", "usages": ["client auth"]})
            self.kubectl("create", "-f", "-", stdin=json.dumps(request))
            self.assertRegex(self.kubectl("get", "csr", name, ns=None), r"Pending")
            self.kubectl("certificate", verdict, name, ns=None)
            self.assertEqual({"approve": "Approved", "deny": "Denied"}[verdict], self.field(".status.conditions[0].type", "csr", name, ns=None))
            self.kubectl("delete", "csr", name, ns=None)


class Events(ClusterTest):
    def test_both_groups_show_them(self):
        self.apply(pod("a"))
        event = document("Event", "a.1", message="it is seen", reason="Seen", type="Normal", source={"component": "me"}, count=3,
                         firstTimestamp="2026-01-01T00:00:00Z", lastTimestamp="2026-01-01T00:00:00Z",
                         involvedObject={"kind": "Pod", "name": "a", "namespace": self.ns, "apiVersion": "v1", "uid": self.field(".metadata.uid", "pod", "a")})
        event["metadata"]["namespace"] = self.ns
        self.kubectl("create", "-f", "-", stdin=json.dumps(event))
        self.assertRegex(self.kubectl("events"), r"Normal +Seen +Pod/a +it is seen")
        self.assertRegex(self.kubectl("events", "--for=pod/a", "--types=Normal"), "it is seen")
        self.assertRegex(self.kubectl("get", "events"), r"LAST SEEN +TYPE +REASON +OBJECT +MESSAGE\n\S+ +Normal +Seen +pod/a +it is seen")
        self.assertEqual("it is seen", self.field(".items[0].note", "events.events.k8s.io"))
        self.assertRegex(self.kubectl("describe", "pod", "a"), r"Events:\n.*\n.*\n +Normal +Seen")


class Custom(ClusterTest):
    def setUp(self):
        super().setUp()
        self.group = f"{self.ns}.example.com"
        self.apply(definition("gadgets", "Gadget", self.group))
        self.addCleanup(self.run_kubectl, "delete", "crd", f"gadgets.{self.group}", "--wait=false", ns=None)

    def gadget(self, name, **spec):
        return document("Gadget", name, f"{self.group}/v1", spec=spec)

    def test_served_as_soon_as_made(self):
        self.kubectl("wait", "--for=condition=Established", f"crd/gadgets.{self.group}", "--timeout=10s", ns=None)
        self.assertIn("created", self.apply(self.gadget("a", color="red")))
        self.assertRegex(self.kubectl("get", f"gadgets.{self.group}"), r"NAME +SIZE\na +3")
        self.assertRegex(self.kubectl("explain", f"gadgets.{self.group}.spec.size".replace(f".{self.group}", "", 1), "--api-version", f"{self.group}/v1", ns=None), "How big it is")
        self.assertIn("configured", self.apply(self.gadget("a", color="blue", size=5)))
        self.assertIn("serverside-applied", self.apply(self.gadget("a", color="blue", size=5), words=("--server-side", "--force-conflicts")))
        self.kubectl("patch", f"gadget.{self.group}", "a", "--subresource=status", "--type=merge", "-p", '{"status":{"phase":"done"}}')
        self.assertEqual("done", self.field(".status.phase", f"gadget.{self.group}", "a"))
        self.kubectl("delete", f"gadget.{self.group}", "a")

    def test_schema_is_held(self):
        said = self.refused("apply", "-f", "-", stdin=json.dumps(self.gadget("a", size=0)))
        self.assertIn('The Gadget "a" is invalid: spec.size: Invalid value: 0: spec.size in body should be greater than or equal to 1', said)
        self.assertIn('unknown field "spec.speed"', self.refused("apply", "-f", "-", stdin=json.dumps(self.gadget("a", speed=1))))

    def test_goes_with_its_objects(self):
        self.apply(self.gadget("a"))
        self.kubectl("delete", "crd", f"gadgets.{self.group}", "--timeout=30s", ns=None)
        self.assertIn("doesn't have a resource type", self.refused("get", f"gadgets.{self.group}"))
        self.assertIn("NotFound", self.refused("get", "--raw", f"/apis/{self.group}/v1"))


class Policies(ClusterTest):
    def test_pod_security(self):
        self.kubectl("label", "namespace", self.ns, "pod-security.kubernetes.io/enforce=restricted", "pod-security.kubernetes.io/warn=baseline", ns=None)
        said = self.refused("run", "a", "--image=i")
        self.assertIn('pods "a" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false (container "a" must set '
                      'securityContext.allowPrivilegeEscalation=false), unrestricted capabilities', said)
        privileged = {"containers": [{"name": "c", "image": "i", "securityContext": {"privileged": True}}]}
        loose = deployment("loose")
        loose["spec"]["template"]["spec"] = privileged
        self.apply(loose)
        self.assertIn('Warning: would violate PodSecurity "baseline:latest": privileged', self.said)

    def test_quota(self):
        self.kubectl("create", "quota", "few", "--hard=pods=1,configmaps=2")
        self.kubectl("run", "a", "--image=i")
        self.assertIn("exceeded quota: few, requested: pods=1, used: pods=1, limited: pods=1", self.refused("run", "b", "--image=i"))
        self.assertRegex(self.kubectl("describe", "quota", "few"), r"pods +1 +1")

    def test_limits(self):
        self.apply(document("LimitRange", "limits", spec={"limits": [{"type": "Container", "default": {"cpu": "500m"}, "defaultRequest": {"cpu": "100m"}, "max": {"cpu": "1"}}]}))
        self.kubectl("run", "a", "--image=i")
        self.assertEqual("100m 500m", self.field(".spec.containers[0].resources.requests.cpu", "pod", "a") + " " + self.field(".spec.containers[0].resources.limits.cpu", "pod", "a"))
        big = pod("b", containers=[{"name": "c", "image": "i", "resources": {"limits": {"cpu": "2"}}}])
        self.assertIn("maximum cpu usage per Container is 1, but limit is 2", self.refused("create", "-f", "-", stdin=json.dumps(big)))


if __name__ == "__main__":
    packages.need(packages.kubectl)
    main()
