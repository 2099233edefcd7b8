#!/usr/bin/env python3
"""kubectl on single objects: create, get in every form, apply, diff, patch, replace, edit, label, annotate, delete, wait, explain."""

import json
import re
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lib import packages  # noqa: E402
from lib.case import main, until  # noqa: E402
from lib.cluster import ClusterTest, deployment, document, pod  # noqa: E402


class Create(ClusterTest):
    def created(self, expected, *words):
        self.assertIn(f"{expected} created", self.kubectl("create", *words))

    def test_each_kind_that_create_knows(self):
        self.created("configmap/settings", "configmap", "settings", "--from-literal=a=1", "--from-literal=b=2")
        self.created("secret/key", "secret", "generic", "key", "--from-literal=password=x")
        self.created("secret/registry", "secret", "docker-registry", "registry", "--docker-username=u", "--docker-password=p")
        self.created("serviceaccount/robot", "serviceaccount", "robot")
        self.created("deployment.apps/web", "deployment", "web", "--image=app:1", "--replicas=2", "--port=80")
        self.created("job.batch/once", "job", "once", "--image=app:1")
        self.created("cronjob.batch/nightly", "cronjob", "nightly", "--image=app:1", "--schedule=0 3 * * *")
        self.created("job.batch/by-hand", "job", "by-hand", "--from=cronjob/nightly")
        self.created("role.rbac.authorization.k8s.io/reader", "role", "reader", "--verb=get,list", "--resource=pods,deployments.apps")
        self.created("rolebinding.rbac.authorization.k8s.io/readers", "rolebinding", "readers", "--role=reader", "--user=jane")
        self.created("resourcequota/limits", "quota", "limits", "--hard=pods=100")
        self.created("poddisruptionbudget.policy/budget", "poddisruptionbudget", "budget", "--selector=app=web", "--min-available=1")
        self.created("service/web", "service", "clusterip", "web", "--tcp=80:8080")
        self.created("service/outside", "service", "externalname", "outside", "--external-name=example.com")
        self.created("service/open", "service", "nodeport", "open", "--tcp=81:81", "--node-port=30123")
        self.created("service/balanced", "service", "loadbalancer", "balanced", "--tcp=82:82")
        self.created("ingress.networking.k8s.io/door", "ingress", "door", "--rule=example.com/path*=web:80", "--class=none")
        self.assertEqual({"a": "1", "b": "2"}, self.get("configmap", "settings")["data"])
        self.assertEqual("kubernetes.io/dockerconfigjson", self.field(".type", "secret", "registry"))
        self.assertRegex(self.field(".spec.clusterIP", "service", "web"), r"^10\.")
        self.assertEqual("30123", self.field(".spec.ports[0].nodePort", "service", "open"))
        self.assertEqual("2", self.field(".spec.replicas", "deployment", "web"))

    def test_cluster_scoped_kinds(self):
        for words, name in (
            (("clusterrole", f"{self.ns}-all", "--verb=*", "--resource=*.*"), "clusterrole.rbac.authorization.k8s.io"),
            (("clusterrolebinding", f"{self.ns}-bind", f"--clusterrole={self.ns}-all", "--user=jane"), "clusterrolebinding.rbac.authorization.k8s.io"),
            (("priorityclass", f"{self.ns}-high", "--value=1000", "--description=first"), "priorityclass.scheduling.k8s.io"),
        ):
            self.created(f"{name}/{words[1]}", *words)
            self.kubectl("delete", words[0], words[1])

    def test_token(self):
        self.kubectl("create", "serviceaccount", "robot")
        token = self.kubectl("create", "token", "robot", "--duration=10m").strip()
        self.assertRegex(token, r"^[\w-]+\.[\w-]+\.[\w-]+$")
        who = json.loads(self.kubectl("auth", "whoami", "-o", "json", f"--token={token}", env={"KUBECONFIG": self.without_certificate()}))
        self.assertEqual(f"system:serviceaccount:{self.ns}:robot", who["status"]["userInfo"]["username"])

    def without_certificate(self):
        text = self.cluster.kubeconfig.read_text()
        path = self.folder / "bare"
        path.write_text(re.sub(r"(?m)^\s*\"?client-(certificate|key)(-data)?\"?:.*\n", "", text))
        return str(path)

    def test_dry_runs_store_nothing(self):
        self.assertIn("(server dry run)", self.kubectl("create", "configmap", "ghost", "--dry-run=server"))
        self.assertIn("kind: ConfigMap", self.kubectl("create", "configmap", "ghost", "--dry-run=client", "-o", "yaml"))
        self.assertIn("NotFound", self.refused("get", "configmap", "ghost"))

    def test_mistakes_are_named(self):
        self.assertIn('configmaps "a" already exists', (self.kubectl("create", "configmap", "a"), self.refused("create", "configmap", "a"))[1])
        bad = {**deployment("bad"), "speck": {}}
        self.assertRegex(self.refused("create", "-f", "-", stdin=json.dumps(bad)), r'strict decoding error: unknown field "speck"')
        self.assertIn("Warning: unknown field \"speck\"", (self.kubectl("create", "--validate=warn", "-f", "-", stdin=json.dumps(bad)), self.said)[1])
        bad = deployment("worse")
        bad["spec"]["template"]["metadata"]["labels"] = {"app": "other"}
        self.assertIn('The Deployment "worse" is invalid: spec.template.metadata.labels: Invalid value: {"app":"other"}: `selector` does not match template `labels`',
                      self.refused("create", "-f", "-", stdin=json.dumps(bad)))
        self.assertRegex(self.refused("create", "-f", "-", stdin='{"apiVersion":"v1","kind":"Pot","metadata":{"name":"a"}}'), r'no matches for kind "Pot"')

    def test_run(self):
        self.assertIn("pod/one created", self.kubectl("run", "one", "--image=app:1", "--labels=a=b", "--env=X=y"))
        one = self.get("pod", "one")
        self.assertEqual(("Pending", "Always", "default"), (one["status"]["phase"], one["spec"]["restartPolicy"], one["spec"]["serviceAccountName"]))


class Get(ClusterTest):
    def setUp(self):
        super().setUp()
        self.apply(pod("a", {"app": "x"}), pod("b", {"app": "y"}), deployment("web"), document("ConfigMap", "settings", data={"k": "v"}))

    def test_table(self):
        lines = self.kubectl("get", "pods").splitlines()
        self.assertEqual(["NAME", "READY", "STATUS", "RESTARTS", "AGE"], lines[0].split())
        self.assertEqual(["a", "0/1", "Pending", "0"], lines[1].split()[:4])
        self.assertEqual(["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"], self.kubectl("get", "deploy").splitlines()[0].split())
        self.assertEqual(["web", "0/2", "0", "0"], self.kubectl("get", "deploy", "--no-headers").split()[:4])
        self.assertIn("No resources found", (self.kubectl("get", "secrets", "-l", "none=none"), self.said)[1])

    def test_wide_and_labels(self):
        self.assertEqual(["NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP", "NODE", "NOMINATED", "NODE", "READINESS", "GATES"],
                         self.kubectl("get", "pods", "-o", "wide").splitlines()[0].split())
        self.assertIn("app=x", self.kubectl("get", "pods", "--show-labels"))
        self.assertRegex(self.kubectl("get", "pods", "-L", "app"), r"APP\n.*\bx\n.*\by\n")

    def test_machine_forms(self):
        self.assertEqual(["a", "b"], [item["metadata"]["name"] for item in self.get("pods")["items"]])
        self.assertIn("kind: Pod\n", self.kubectl("get", "pod", "a", "-o", "yaml"))
        self.assertEqual("pod/a\npod/b\n", self.kubectl("get", "pods", "-o", "name"))
        self.assertEqual("a b", self.field(".items[*].metadata.name", "pods"))
        self.assertEqual("a,b,", self.kubectl("get", "pods", "-o", "go-template={{range .items}}{{.metadata.name}},{{end}}"))
        self.assertEqual(["N", "IMAGE", "a", "registry.example.com/app:1"],
                         self.kubectl("get", "pod", "a", "-o", "custom-columns=N:.metadata.name,IMAGE:.spec.containers[0].image").split())
        self.assertNotIn("managedFields", self.kubectl("get", "pod", "a", "-o", "yaml"))
        self.assertIn("managedFields", self.kubectl("get", "pod", "a", "-o", "yaml", "--show-managed-fields"))

    def test_selection(self):
        self.assertEqual("pod/b\n", self.kubectl("get", "pods", "-l", "app in (y)", "-o", "name"))
        self.assertEqual("pod/a\n", self.kubectl("get", "pods", "--field-selector=metadata.name=a,status.phase=Pending", "-o", "name"))
        self.assertIn("field label not supported", self.refused("get", "pods", "--field-selector=spec.color=red"))
        self.assertEqual(["b", "a"], [line.split()[0] for line in self.kubectl("get", "pods", "--sort-by=.metadata.labels.app", "--no-headers").splitlines()][::-1])
        self.assertIn(self.ns, self.kubectl("get", "pods", "-A"))
        self.assertEqual("pod/a\npod/b\n", self.kubectl("get", "pods", "--chunk-size=1", "-o", "name"))
        self.assertIn("configmap/settings", self.kubectl("get", "cm,deploy", "-o", "name"))
        self.assertIn("deployment.apps/web", self.kubectl("get", "all", "-o", "name"))

    def test_mistakes(self):
        self.assertEqual('Error from server (NotFound): pods "none" not found\n', self.refused("get", "pod", "none"))
        self.assertEqual("", self.kubectl("get", "pod", "none", "--ignore-not-found"))
        self.assertIn('the server doesn\'t have a resource type "nothings"', self.refused("get", "nothings"))

    def test_raw_and_subresources(self):
        self.assertEqual("ok", self.kubectl("get", "--raw", "/healthz", ns=None))
        self.assertEqual("Scale", self.get("deploy", "web", "--subresource=scale")["kind"])
        self.assertEqual("web", self.kubectl("get", "deploy", "web", "--subresource=scale", "--no-headers").split()[0])
        self.assertEqual("Deployment", self.get("deploy", "web", "--subresource=status")["kind"])

    def test_watch(self):
        watch = subprocess.Popen([self.program, "-n", self.ns, "get", "pods", "--watch", "-o", "name"], env=self.environment,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            self.assertEqual("pod/a", watch.stdout.readline().strip())
            self.assertEqual("pod/b", watch.stdout.readline().strip())
            self.kubectl("run", "c", "--image=app:1")
            self.assertEqual("pod/c", watch.stdout.readline().strip())
        finally:
            watch.kill()
            watch.communicate()

    def test_describe(self):
        said = self.kubectl("describe", "pod", "a")
        for line in (r"Name: +a", rf"Namespace: +{self.ns}", r"Labels: +app=x", r"Status: +Pending", r"QoS Class: +BestEffort",
                     r"node.kubernetes.io/not-ready:NoExecute op=Exists for 300s", r"Service Account: +default"):
            self.assertRegex(said, line)
        self.assertRegex(self.kubectl("describe", "deployment", "web"), r"Replicas: +2 desired")
        self.assertRegex(self.kubectl("describe", "configmap", "settings"), r"k:\n----\nv")
        self.kubectl("describe", "namespace", self.ns)
        self.kubectl("describe", "serviceaccount,role,secret")


class Apply(ClusterTest):
    def test_client_side(self):
        self.assertIn("configmap/a created", self.apply(document("ConfigMap", "a", data={"x": "1", "y": "1"})))
        self.kubectl("patch", "configmap", "a", "--type=merge", "-p", '{"data":{"z":"other"}}')
        self.assertIn("configmap/a configured", self.apply(document("ConfigMap", "a", data={"x": "2"})))
        self.assertEqual({"x": "2", "z": "other"}, self.get("configmap", "a")["data"])
        self.assertIn("configmap/a unchanged", self.apply(document("ConfigMap", "a", data={"x": "2"})))
        self.assertIn('"x":"2"', self.kubectl("apply", "view-last-applied", "configmap/a", "-o", "json").replace(" ", ""))
        (self.folder / "a.json").write_text(json.dumps(document("ConfigMap", "a", data={"w": "9"})))
        self.kubectl("apply", "set-last-applied", "-f", "a.json")
        self.assertIn('"w":"9"', self.kubectl("apply", "view-last-applied", "configmap/a", "-o", "json").replace(" ", ""))

    def test_server_side(self):
        def server_side(manager, *documents, more=()):
            return self.apply(*documents, words=("--server-side", f"--field-manager={manager}", *more))
        self.assertIn("deployment.apps/web serverside-applied", server_side("one", deployment("web")))
        other = deployment("web", replicas=5)
        done = self.run_kubectl("apply", "--server-side", "--field-manager=two", "-f", "-", stdin=json.dumps(other))
        self.assertEqual(1, done.returncode)
        self.assertRegex(done.stderr, r'conflict with "one": .spec.replicas')
        server_side("two", other, more=("--force-conflicts",))
        managers = {entry["manager"]: entry for entry in self.get("deploy", "web", "--show-managed-fields")["metadata"]["managedFields"]}
        self.assertNotIn("f:replicas", managers["one"]["fieldsV1"]["f:spec"])
        self.assertEqual({}, managers["two"]["fieldsV1"]["f:spec"]["f:replicas"])
        without = deployment("web", replicas=5)
        del without["spec"]["replicas"]
        server_side("two", without)
        self.assertEqual("1", self.field(".spec.replicas", "deploy", "web"), "nobody's field goes back to its default")

    def test_a_list(self):
        items = {"apiVersion": "v1", "kind": "List", "items": [document("ConfigMap", name) for name in "ab"]}
        self.assertIn("configmap/b created", self.kubectl("apply", "-f", "-", stdin=json.dumps(items)))

    def test_prune(self):
        for name in ("a", "b"):
            self.apply(document("ConfigMap", name, labels={"set": "one"}))
        stdin = json.dumps(document("ConfigMap", "a", labels={"set": "one"}))
        self.assertIn("configmap/b pruned", self.kubectl("apply", "--prune", "-l", "set=one", "--prune-allowlist=core/v1/ConfigMap", "-f", "-", stdin=stdin))
        self.assertIn("NotFound", self.refused("get", "configmap", "b"))

    def test_dry_run_and_diff(self):
        self.apply(deployment("web"))
        changed = json.dumps(deployment("web", replicas=7))
        self.assertIn("configured (server dry run)", self.kubectl("apply", "--dry-run=server", "-f", "-", stdin=changed))
        done = self.run_kubectl("diff", "-f", "-", stdin=changed)
        self.assertEqual(1, done.returncode, done.stderr)
        self.assertRegex(done.stdout, r"(?m)^-  replicas: 2\n\+  replicas: 7$")
        self.assertEqual("2", self.field(".spec.replicas", "deploy", "web"))
        self.assertEqual(0, self.run_kubectl("diff", "-f", "-", stdin=json.dumps(deployment("web"))).returncode)
        self.assertEqual(1, self.run_kubectl("diff", "--server-side", "-f", "-", "--force-conflicts", stdin=changed).returncode)

    def test_kustomize(self):
        (self.folder / "kustomization.yaml").write_text(
            "namePrefix: my-\nresources: [web.json]\nconfigMapGenerator:\n- name: settings\n  literals: [a=b]\nlabels:\n- pairs: {team: blue}\n")
        (self.folder / "web.json").write_text(json.dumps(deployment("web")))
        self.assertIn("name: my-web", self.kubectl("kustomize", ".", ns=None))
        said = self.kubectl("apply", "-k", ".")
        self.assertRegex(said, r"configmap/my-settings-\w+ created\n")
        self.assertEqual("blue", self.field(".metadata.labels.team", "deploy", "my-web"))
        self.kubectl("delete", "-k", ".")
        self.assertIn("NotFound", self.refused("get", "deploy", "my-web"))


class Change(ClusterTest):
    def setUp(self):
        super().setUp()
        self.apply(deployment("web"), document("ConfigMap", "settings", data={"k": "v"}))

    def test_patches(self):
        self.kubectl("patch", "deploy", "web", "-p", '{"spec":{"template":{"spec":{"containers":[{"name":"side","image":"side:1"}]}}}}')
        self.assertEqual("side main", self.field(".spec.template.spec.containers[*].name", "deploy", "web"))
        self.kubectl("patch", "deploy", "web", "--type=json", "-p", '[{"op":"test","path":"/spec/replicas","value":2},{"op":"replace","path":"/spec/replicas","value":3}]')
        self.assertEqual("3", self.field(".spec.replicas", "deploy", "web"))
        self.kubectl("patch", "deploy", "web", "--type=merge", "-p", '{"spec":{"paused":true}}')
        self.assertIn("patched (no change)", self.kubectl("patch", "deploy", "web", "--type=merge", "-p", '{"spec":{"paused":true}}'))
        self.kubectl("patch", "deploy", "web", "--subresource=scale", "--type=merge", "-p", '{"spec":{"replicas":4}}')
        self.assertEqual("4", self.field(".spec.replicas", "deploy", "web"))
        self.kubectl("patch", "deploy", "web", "--subresource=status", "--type=merge", "-p", '{"status":{"replicas":4},"spec":{"replicas":9}}')
        self.assertEqual("4 4", self.field(".spec.replicas", "deploy", "web") + " " + self.field(".status.replicas", "deploy", "web"))
        self.assertIn("The request is invalid",
                      self.refused("patch", "deploy", "web", "--type=json", "-p", '[{"op":"test","path":"/spec/replicas","value":1}]'))

    def test_replace(self):
        object = self.get("configmap", "settings")
        object["data"] = {"n": "m"}
        self.assertIn("replaced", self.kubectl("replace", "-f", "-", stdin=json.dumps(object)))
        self.assertIn("the object has been modified", self.refused("replace", "-f", "-", stdin=json.dumps(object)))
        del object["metadata"]["resourceVersion"]
        self.kubectl("replace", "--force", "-f", "-", stdin=json.dumps(object))
        self.assertNotEqual(object["metadata"]["uid"], self.field(".metadata.uid", "configmap", "settings"))

    def test_edit(self):
        editor = self.folder / "editor"
        editor.write_text('#!/bin/sh\nexec sed -i "s/k: v/k: edited/" "$1"\n')
        editor.chmod(0o755)
        self.assertIn("configmap/settings edited", self.kubectl("edit", "configmap", "settings", env={"EDITOR": str(editor)}))
        self.assertEqual("edited", self.field(".data.k", "configmap", "settings"))
        editor.write_text('#!/bin/sh\nexec sed -i "s/replicas: 2/replicas: -2/" "$1"\n')
        done = self.run_kubectl("edit", "deploy", "web", env={"EDITOR": str(editor)})
        self.assertNotEqual(0, done.returncode)
        self.assertIn('deployments.apps "web" is invalid', done.stderr)

    def test_label_and_annotate(self):
        self.assertIn("labeled", self.kubectl("label", "deploy", "web", "tier=front"))
        self.assertIn("already has a value", self.refused("label", "deploy", "web", "tier=back"))
        self.kubectl("label", "deploy", "web", "tier=back", "--overwrite")
        self.assertEqual("back", self.field(".metadata.labels.tier", "deploy", "web"))
        self.assertIn("unlabeled", self.kubectl("label", "deploy", "web", "tier-"))
        self.assertIn("annotated", self.kubectl("annotate", "deploy", "web", "note=hello"))
        self.assertIn("note=hello", self.kubectl("annotate", "deploy", "web", "--list"))
        self.assertRegex(self.refused("label", "deploy", "web", "a=<no>"), r"a valid label must be an empty string or consist of alphanumeric characters")

    def test_set(self):
        self.assertIn("image updated", self.kubectl("set", "image", "deploy/web", "main=app:2"))
        self.assertIn("env updated", self.kubectl("set", "env", "deploy/web", "A=1", "--from=configmap/settings"))
        self.assertIn("A=1", self.kubectl("set", "env", "deploy/web", "--list"))
        self.assertIn("resource requirements updated", self.kubectl("set", "resources", "deploy/web", "--limits=cpu=200m,memory=64Mi"))
        self.assertIn("serviceaccount updated", self.kubectl("set", "serviceaccount", "deploy/web", "default"))
        self.kubectl("create", "service", "clusterip", "web", "--tcp=80")
        self.assertIn("selector updated", self.kubectl("set", "selector", "service/web", "app=other"))
        self.kubectl("create", "clusterrolebinding", f"{self.ns}-view", "--clusterrole=view", "--user=jane")
        self.assertIn("subjects updated", self.kubectl("set", "subject", "clusterrolebinding", f"{self.ns}-view", "--user=joe"))
        self.kubectl("delete", "clusterrolebinding", f"{self.ns}-view")
        container = self.get("deploy", "web")["spec"]["template"]["spec"]["containers"][0]
        self.assertEqual(("app:2", "200m"), (container["image"], container["resources"]["limits"]["cpu"]))


class Delete(ClusterTest):
    def test_ways(self):
        self.apply(document("ConfigMap", "a", labels={"x": "1"}), document("ConfigMap", "b", labels={"x": "1"}), document("ConfigMap", "c"))
        self.assertIn('configmap "c" deleted', self.kubectl("delete", "configmap", "c"))
        self.assertIn('NotFound', self.refused("delete", "configmap", "c"))
        self.kubectl("delete", "configmap", "c", "--ignore-not-found")
        self.kubectl("delete", "configmap", "-l", "x=1", "--dry-run=server")
        self.kubectl("delete", "configmap", "-l", "x=1")
        self.assertNotIn("configmap/a", self.kubectl("get", "configmap", "-o", "name"))

    def test_pods_without_a_node_go_at_once(self):
        self.apply(pod("a"), pod("b"))
        self.kubectl("delete", "pod", "a")
        self.kubectl("delete", "pod", "b", "--grace-period=0", "--force")
        self.assertEqual("", self.kubectl("get", "pods", "-o", "name"))

    def dependents(self, name):
        self.apply(document("ConfigMap", name))
        uid = self.field(".metadata.uid", "configmap", name)
        child = document("ConfigMap", f"{name}-child")
        child["metadata"]["ownerReferences"] = [{"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": uid, "blockOwnerDeletion": True}]
        self.apply(child)

    def gone(self, name):
        until(lambda: "NotFound" in self.run_kubectl("get", "configmap", name).stderr, f"{name} to be collected")

    def test_cascades(self):
        for how in ("background", "foreground"):
            self.dependents(how)
            self.kubectl("delete", "configmap", how, f"--cascade={how}")
            self.gone(f"{how}-child")
        self.dependents("orphan")
        self.kubectl("delete", "configmap", "orphan", "--cascade=orphan")
        until(lambda: not self.get("configmap", "orphan-child")["metadata"].get("ownerReferences"), "the orphan to be let go")

    def test_wait(self):
        self.apply(pod("a"))
        self.assertRegex(self.refused("wait", "--for=condition=Ready", "pod/a", "--timeout=1s"), "timed out waiting for the condition")
        self.kubectl("patch", "pod", "a", "--subresource=status", "--type=merge", "-p", '{"status":{"conditions":[{"type":"Ready","status":"True"}],"phase":"Running"}}')
        self.assertIn("condition met", self.kubectl("wait", "--for=condition=Ready", "pod/a", "--timeout=10s"))
        self.assertIn("condition met", self.kubectl("wait", "--for=jsonpath={.status.phase}=Running", "pod/a", "--timeout=10s"))
        waiting = subprocess.Popen([self.program, "-n", self.ns, "wait", "--for=delete", "pod/a", "--timeout=30s"], env=self.environment,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.kubectl("delete", "pod", "a", "--now")
        self.assertEqual(0, waiting.wait(40), waiting.communicate()[0])
        waiting.stdout.close()
        self.kubectl("wait", "--for=create", "configmap/kube-root-ca.crt", "--timeout=10s")

    def test_namespace_takes_all_with_it(self):
        other = f"{self.ns}-more"
        self.make_namespace(other)
        self.kubectl("create", "configmap", "a", ns=other)
        self.kubectl("run", "b", "--image=app:1", ns=other)
        self.kubectl("delete", "namespace", other, "--timeout=30s", ns=None)
        self.assertIn("NotFound", self.refused("get", "namespace", other, ns=None))
        self.kubectl("create", "namespace", other, ns=None)
        self.assertNotIn("configmap/a", self.kubectl("get", "configmaps", "-o", "name", ns=other))
        self.kubectl("delete", "namespace", other, "--wait=false", ns=None)


class Discover(ClusterTest):
    def test_api_resources_and_versions(self):
        lines = self.kubectl("api-resources", "--no-headers", ns=None)
        for line in (r"pods +po +v1 +true +Pod", r"deployments +deploy +apps/v1 +true +Deployment", r"nodes +no +v1 +false +Node",
                     r"customresourcedefinitions +crd,crds +apiextensions.k8s.io/v1 +false"):
            self.assertRegex(lines, line)
        self.assertIn("networkpolicies", self.kubectl("api-resources", "--api-group=networking.k8s.io", "-o", "name", ns=None))
        self.assertIn("pods\n", self.kubectl("api-resources", "--verbs=list,create", "--namespaced=true", "-o", "name", ns=None))
        self.assertIn("deployments.apps", self.kubectl("api-resources", "--categories=all", "-o", "name", ns=None))
        versions = self.kubectl("api-versions", ns=None).split()
        for version in ("v1", "apps/v1", "batch/v1", "rbac.authorization.k8s.io/v1", "autoscaling/v2", "policy/v1"):
            self.assertIn(version, versions)

    def test_explain(self):
        self.assertRegex(self.kubectl("explain", "pod.spec.containers", ns=None), r"FIELD: containers <\[\]Container>[\s\S]*DESCRIPTION:\n    \S")
        self.assertRegex(self.kubectl("explain", "deployments", ns=None), r"GROUP: +apps\nKIND: +Deployment\nVERSION: +v1")
        self.assertIn("replicas", self.kubectl("explain", "deployment.spec", "--recursive", ns=None))
        self.assertIn("openAPIV3Schema", self.kubectl("explain", "crd.spec.versions.schema", ns=None))
        self.assertIn('field "nothing" does not exist', self.refused("explain", "pod.nothing", ns=None))
        self.kubectl("explain", "pod.spec", "--output=plaintext-openapiv2", ns=None)

    def test_version_and_cluster_info(self):
        self.assertRegex(self.kubectl("version", ns=None), r"Server Version: v1\.34\.\d+")
        self.assertIn(f"Kubernetes control plane is running at https://", re.sub(r"\x1b\[[\d;]*m", "", self.kubectl("cluster-info", ns=None)).replace("\x1b", ""))
        self.kubectl("cluster-info", "dump", "--output-directory", self.folder / "dump", ns=None)
        self.assertTrue((self.folder / "dump/nodes.json").exists())

    def test_top_says_what_is_missing(self):
        self.assertIn("Metrics API not available", self.refused("top", "nodes", ns=None))

    def test_proxy(self):
        proxy = subprocess.Popen([self.program, "proxy", "--port=0"], env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            port = re.search(r":(\d+)$", proxy.stdout.readline())[1]
            got = subprocess.run(["curl", "-s", f"http://127.0.0.1:{port}/api/v1/namespaces/{self.ns}"], capture_output=True, text=True)
            self.assertEqual(self.ns, json.loads(got.stdout)["metadata"]["name"])
        finally:
            proxy.kill()
            proxy.communicate()

    def test_completion_offers_names(self):
        self.kubectl("create", "configmap", "only-one")
        self.assertIn("only-one", self.kubectl("__complete", "get", "configmap", "-n", self.ns, "only", ns=None))
        self.assertIn("deployments", self.kubectl("__complete", "get", "deploym", ns=None))
        self.assertIn("complete -o default", self.kubectl("completion", "bash", ns=None))


if __name__ == "__main__":
    packages.need(packages.kubectl)
    main()
