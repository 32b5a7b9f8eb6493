using System.Text.Json.Nodes;
using LabPortal.Domain.Labs;
using LabPortal.Domain.Pools;
using LabPortal.Operations.Audit;
using LabPortal.Operations.Catalogue;
using LabPortal.Operations.Labs;
using LabPortal.Operations.People;
using LabPortal.Operations.Pools;
using LabPortal.Operations.Quotas;
using LabPortal.Web.Hosting;
using Microsoft.AspNetCore.Authorization;

namespace LabPortal.Web.Api;

/// <summary>The REST API: every route stands here, in the order of the contract.</summary>
internal static class ApiRoutes
{
    public const string Prefix = "/api/v1";

    public static void AddApi(this WebApplicationBuilder builder)
    {
        builder.Services.ConfigureHttpJsonOptions(json => Json.Configure(json.SerializerOptions));
        builder.Services.AddPortalDocument();
    }

    public static void MapApi(this WebApplication app)
    {
        var api = app.MapGroup(Prefix).RequireAuthorization(new AuthorizeAttribute { AuthenticationSchemes = Callers.TokenScheme }).DisableAntiforgery();

        var labs = api.MapGroup("/labs").WithTags("Labs");
        labs.MapPost("", LabRoutes.RequestAsync).Says("requestLab", "Request a lab",
            "The lab, its quota holds and its provision run are made in one transaction. With `Idempotency-Key` the same key and body give the same lab.")
            .Takes<LabRequestBody>().Accepts<LabBody>().Refuses(400, 403, 409, 422);
        labs.MapGet("/{id}", LabRoutes.FindAsync).Says("findLab", "One lab", "404 also where the caller may not see it. Here alone its machines name the ways in through the portal: lists and other answers ask no pool, and have `consoles` null; so has a machine here whose pool does not answer.").Gives<LabBody>().Refuses(404);
        labs.MapGet("", LabRoutes.ListAsync).Says("listLabs", "Labs, newest first",
            "`state` may be repeated; `owner` is `me`, a person's id or e-mail address; `q` is part of the name.")
            .Asks("state", "team", "owner", "blueprint", "q").Lists<LabBody>();
        labs.MapPost("/{id}/extend", LabRoutes.ExtendAsync).Says("extendLab", "Extend a lab", "By decimal hours, or until an instant; in grace it is started again.")
            .Takes<LeaseRequestBody>().Accepts<LabBody>().Refuses(400, 403, 404, 409);
        labs.MapPost("/{id}/keepalive", LabRoutes.KeepAsync).Says("keepLab", "Say that a lab is still wanted",
            "With `minutes` its lease is tied to a heartbeat: the lab ends where no beat comes for so long, whatever is left of its lease; a beat gives nothing beyond the lease. "
            + "Time in which the portal could not be reached does not count.").Takes<KeepaliveBody>().Gives<LabBody>().Refuses(400, 403, 404, 409);
        labs.MapDelete("/{id}/keepalive", LabRoutes.LetGoAsync).Says("letLabGo", "Untie a lab from its heartbeat: it lives as long as its lease says").Gives<LabBody>().Refuses(403, 404, 409);
        labs.MapVerb(LabVerb.Start, "Start a stopped lab");
        labs.MapVerb(LabVerb.Stop, "Stop a lab; it keeps its disks and its quota");
        labs.MapVerb(LabVerb.Restart, "Restart a lab's machines");
        labs.MapPost("/{id}/snapshot", LabRoutes.SnapshotAsync).Says("snapshotLab", "Take a snapshot of all machines", "Running machines with their memory, stopped ones their disks. The name is the lab's own.")
            .Takes<SnapshotRequestBody>().Accepts<LabBody>().Refuses(400, 403, 404, 409);
        labs.MapPost("/{id}/revert", LabRoutes.RevertAsync).Says("revertLab", "Revert to a snapshot", "What was written since is lost. It cannot be cancelled.")
            .Takes<SnapshotRequestBody>().Accepts<LabBody>().Refuses(400, 403, 404, 409);
        labs.MapGet("/{id}/snapshots", LabRoutes.SnapshotsAsync).Says("listSnapshots", "A lab's snapshots, each with an item for every machine").Lists<SnapshotView>().Refuses(404);
        labs.MapGet("/{id}/disks", LabRoutes.DisksAsync).Says("listDisks", "What the disks of a lab's machines take on their hosts",
            "`bytes` is what a disk takes now, with all that the machine's snapshots keep of disk and memory; null where its pool does not answer in time. Beside it what is held for it. "
            + "What one snapshot alone keeps of a disk is not known: it shares that with the disk and with the others.").Lists<DiskView>().Refuses(404);
        labs.MapDelete("/{id}/snapshots/{name}", LabRoutes.DeleteSnapshotAsync).Says("deleteSnapshot", "Delete a snapshot, in the background").Accepts<LabBody>().Refuses(403, 404, 409);
        labs.MapVerb(LabVerb.Cancel, "Take back what is going on; a lab that existed before stays");
        labs.MapVerb(LabVerb.End, "End a lab: everything of it is deleted. From every state; it only goes forward");
        labs.MapVerb(LabVerb.Retry, "Let a stuck run try again (admins)");
        labs.MapPost("/{id}/abandon", LabRoutes.AbandonAsync).Says("abandonLab", "Give up a stuck run (admins)", "What it leaves stays on the orphan list and stays metered.")
            .Takes<AbandonBody>().Accepts<LabBody>().Refuses(400, 403, 404, 409);
        labs.MapMachineVerb(LabVerb.Start, "Start one machine");
        labs.MapMachineVerb(LabVerb.Stop, "Stop one machine");
        labs.MapMachineVerb(LabVerb.Restart, "Restart one machine");
        labs.MapPost("/{id}/machines/{name}/console", ConsoleRoutes.AskAsync).Says("openConsole", "A way into a machine through the portal",
            "An address for one WebSocket, good once, for 30 s, with the same token. `ssh` leads to the machine's SSH port, `serial` to its serial port, `vnc` to its screen, `terminal` to a shell that the portal opens on it; what the machine's pool has not is refused; "
            + "binary messages are its bytes. The close message says why it ended, by a code.")
            .Takes<ConsoleRequestBody>().Gives<ConsoleBody>().Refuses(400, 403, 404, 409);
        labs.MapGet("/{id}/machines/{name}/serial", LabRoutes.SerialLogAsync).Says("serialLog", "The end of what a machine printed on its serial port", "Plain text.")
            .Produces<string>(200, "text/plain").Refuses(403, 404);
        labs.MapPost("/{id}/password", LabRoutes.PasswordAsync).Says("revealPassword", "The generated password of the lab's machines", "For its owner alone; audited each time.")
            .Gives<PasswordBody>().Refuses(403, 404);
        labs.MapGet("/{id}/events", LabEventRoutes.EventsAsync).Says("labEvents", "What happens to a lab, as server-sent events",
            "id = the lab's version; data = `{\"version\",\"at\",\"kind\",…}`. From the beginning, or after `Last-Event-ID`; without loss or repeat. A comment every 15 s keeps the line open.")
            .Produces<string>(200, "text/event-stream").Refuses(400, 404);
        labs.MapGet("/{id}/audit", LabRoutes.AuditAsync).Says("labAudit", "Who did what to a lab, newest first", "From where somebody else did it is told to admins and auditors alone.").Lists<AuditBody>().Refuses(404);
        api.MapPost("/quotes", LabRoutes.QuoteAsync).WithTags("Labs").Says("quote", "What a request would cost, hold and wait", "Changes nothing. Takes what `POST /labs` takes.")
            .Takes<LabRequestBody>().Gives<QuoteBody>().Refuses(400, 403);

        var catalogue = api.MapGroup("").WithTags("Catalogue");
        catalogue.MapGet("/blueprints", CatalogueRoutes.BlueprintsAsync).Says("listBlueprints", "What the caller may request").Lists<BlueprintBody>();
        catalogue.MapGet("/blueprints/{name}", CatalogueRoutes.BlueprintAsync).Says("findBlueprint", "One blueprint").Gives<BlueprintBody>().Refuses(404);
        catalogue.MapGet("/images", CatalogueRoutes.ImagesAsync).Says("listImages", "Images").Lists<ImageBody>();
        catalogue.MapGet("/images/{name}", CatalogueRoutes.ImageAsync).Says("findImage", "One image").Gives<ImageBody>().Refuses(404);
        catalogue.MapGet("/sizes", CatalogueRoutes.SizesAsync).Says("listSizes", "Sizes").Lists<SizeBody>();
        catalogue.MapGet("/sizes/{name}", CatalogueRoutes.SizeAsync).Says("findSize", "One size").Gives<SizeBody>().Refuses(404);

        var people = api.MapGroup("").WithTags("People");
        people.MapGet("/teams", PeopleRoutes.TeamsAsync).Says("listTeams", "The caller's teams; all for admins and auditors", "By name; `q` is part of it.").Asks("q").Lists<TeamBody>();
        people.MapGet("/teams/{name}", PeopleRoutes.TeamAsync).Says("findTeam", "One team with its members").Gives<TeamBody>().Refuses(404);
        people.MapGet("/people", PeopleRoutes.PeopleAsync).Says("listPeople", "People (admins)", "By e-mail address; `q` is part of it or of the name.").Asks("q").Lists<PersonBody>().Refuses(403);
        people.MapGet("/people/{name}", PeopleRoutes.PersonAsync).Says("findPerson", "One person, by id or e-mail address (admins)").Gives<PersonBody>().Refuses(403, 404);

        people.MapPost("/teams", PeopleRoutes.CreateTeamAsync).Says("createTeam", "Make a team (admins)").Takes<TeamRequestBody>().Creates<TeamBody>().Refuses(400, 403, 409);
        people.MapPut("/teams/{team}/members/{person}", PeopleRoutes.SetMemberAsync).Says("setMember", "Put somebody into a team, or give them another role in it (admins)",
            "The person by id or e-mail address. 409 where the team is declared.").Takes<MemberRequestBody>().Gives<TeamBody>().Refuses(400, 403, 404, 409);
        people.MapDelete("/teams/{team}/members/{person}", PeopleRoutes.RemoveMemberAsync).Says("removeMember", "Take somebody out of a team (admins)", "Their labs stay the team's. 409 where the team is declared.")
            .Gives<TeamBody>().Refuses(403, 404, 409);
        people.MapPost("/invitations", PeopleRoutes.InviteAsync).Says("invite", "Invite somebody (admins)",
            "Gives the link to hand over; the person is made when it is used. A second one replaces the first. 409 where somebody with this address signs in already.")
            .Takes<InvitationBody>().Gives<NewLinkBody>().Refuses(400, 403, 409);
        people.MapPost("/people/{name}/reset-link", PeopleRoutes.ResetLinkAsync).Says("resetLink", "Make a link with which somebody sets a new password (admins)").Gives<NewLinkBody>().Refuses(403, 404, 409);
        people.MapPost("/people/{name}/disable", PeopleRoutes.SetDisabled(true)).Says("disablePerson", "End somebody's sessions and tokens, and let them in no more (admins)", "409 for oneself and for the last admin.")
            .Produces(204).Refuses(403, 404, 409);
        people.MapPost("/people/{name}/enable", PeopleRoutes.SetDisabled(false)).Says("enablePerson", "Let a disabled person in again (admins)").Produces(204).Refuses(403, 404, 409);
        people.MapPut("/people/{name}/roles", PeopleRoutes.SetRolesAsync).Says("setRoles", "Make somebody an admin or auditor, or no longer (admins)", "Admins cannot take it from themselves, and the last one stays: 409.")
            .Takes<RolesBody>().Produces(204).Refuses(400, 403, 404, 409);

        var operations = api.MapGroup("").WithTags("Operations");
        operations.MapGet("/runs", RunRoutes.ListAsync).Says("listRuns", "Runs, newest first (admins, auditors)",
            "`state` is one of a run; `phase` is how people sort them: `running`, `waiting` (for a slot, or for what it says), `stuck`, `over`.").Asks("state", "phase").Lists<RunBody>().Refuses(403);
        operations.MapGet("/runs/count", RunRoutes.CountAsync).Says("countRuns", "How many runs live, by phase (admins, auditors)").Gives<RunCountsBody>().Refuses(403);
        operations.MapGet("/runs/{id}", RunRoutes.FindAsync).Says("findRun", "One run with its steps, its journal and its machines").Gives<RunBody>().Refuses(404);
        operations.MapPost("/runs/{id}/retry", RunRoutes.Ask(LabVerb.Retry)).Says("retryRun", "Let a stuck run try again (admins)", "409 where another run of the lab lives.").Accepts<RunBody>().Refuses(403, 404, 409);
        operations.MapPost("/runs/{id}/cancel", RunRoutes.Ask(LabVerb.Cancel)).Says("cancelRun", "Take back what a run did").Accepts<RunBody>().Refuses(403, 404, 409);
        operations.MapPost("/runs/{id}/abandon", RunRoutes.AbandonAsync).Says("abandonRun", "Give up a stuck run (admins)", "What it leaves stays on the orphan list and stays metered.")
            .Takes<AbandonBody>().Accepts<RunBody>().Refuses(400, 403, 404, 409);

        var me = api.MapGroup("/me").WithTags("Me");
        me.MapGet("", PeopleRoutes.MeAsync).Says("me", "Who calls").Gives<PersonBody>().Refuses(404);
        me.MapGet("/tokens", PeopleRoutes.TokensAsync).Says("listTokens", "The caller's API tokens").Lists<TokenBody>();
        me.MapPost("/tokens", PeopleRoutes.AddTokenAsync).Says("addToken", "Make an API token", "Its text is shown this once.").Takes<TokenRequestBody>().Creates<NewTokenBody>().Refuses(400, 403);
        me.MapDelete("/tokens/{id}", PeopleRoutes.RemoveTokenAsync).Says("removeToken", "Take an API token back").Produces(204).Refuses(404);
        me.MapGet("/notices", PeopleRoutes.NoticesAsync).Says("listNotices", "What the caller should know, newest first").Lists<NoticeBody>();
        me.MapPost("/notices/read", PeopleRoutes.MarkReadAsync).Says("readNotices", "All of the caller's notices are read").Produces(204);
        me.MapGet("/keys", PeopleRoutes.KeysAsync).Says("listKeys", "The caller's SSH public keys").Lists<KeyBody>();
        me.MapPost("/keys", PeopleRoutes.AddKeyAsync).Says("addKey", "Add an SSH public key", "OpenSSH's one-line form; ed25519, ecdsa, and rsa of 2048 bits or more.")
            .Takes<KeyRequestBody>().Creates<KeyBody>().Refuses(400);
        me.MapDelete("/keys/{id}", PeopleRoutes.RemoveKeyAsync).Says("removeKey", "Remove an SSH public key").Produces(204).Refuses(404);

        people.MapGet("/teams/{team}/quota", PeopleRoutes.QuotaAsync).Says("teamQuota", "A team's quota, and which labs hold it").Gives<IReadOnlyList<QuotaView>>().Refuses(404);
        people.MapGet("/quotas", PeopleRoutes.QuotasAsync).Says("listQuotas", "Each team with its limits, and who uses what", "By name; `q` is part of it.").Asks("q").Lists<TeamUseView>();
        people.MapPut("/teams/{team}/quota", PeopleRoutes.SetQuotaAsync).Says("setQuota", "Set a team's limits (admins)",
            "By dimension, for the team and for each person in it; what is not named is unlimited. 409 where the team is declared.").Takes<QuotaRequestBody>().Gives<TeamUseView>().Refuses(400, 403, 404, 409);
        people.MapPost("/teams/{team}/detach", PeopleRoutes.DetachAsync).Says("detachTeam", "Take a declared team into the portal's own hands (admins)").Produces(204).Refuses(403, 404);
        people.MapGet("/teams/{team}/webhooks", PeopleRoutes.WebhooksAsync).Says("listWebhooks", "Where a team's notices go (its managers, admins)").Lists<WebhookBody>().Refuses(403, 404);
        people.MapPost("/teams/{team}/webhooks", PeopleRoutes.AddWebhookAsync).Says("addWebhook", "Send a team's notices to an address (its managers, admins)",
            $"`https`, or a host that an admin listed. Each delivery is a POST with `{WebhookSweep.SignatureHeader}: sha256=HEX`, the HMAC of its body with the secret, which is shown this once; "
            + $"`{WebhookSweep.DeliveryHeader}` stays the same when it is repeated.").Takes<WebhookRequestBody>().Creates<NewWebhookBody>().Refuses(400, 403, 404, 409);
        people.MapDelete("/teams/{team}/webhooks/{id}", PeopleRoutes.RemoveWebhookAsync).Says("removeWebhook", "Send nothing there any more (its managers, admins)").Produces(204).Refuses(403, 404);

        operations.MapGet("/pools", PoolRoutes.ListAsync).Says("listPools", "Pools with their hosts, capacity and load").Lists<PoolBody>();
        operations.MapGet("/pools/{name}", PoolRoutes.FindAsync).Says("findPool", "One pool").Gives<PoolBody>().Refuses(404);
        operations.MapGet("/pools/{name}/resources", PoolRoutes.ResourcesAsync).Says("poolResources", "What the provider itself lists as ours, now (admins, auditors)")
            .Gives<IReadOnlyList<ResourceView>>().Refuses(403, 404, 502, 503);
        operations.MapGet("/pools/{name}/now", PoolRoutes.NowAsync).Says("poolNow", "What a pool does now, and who waits for it (admins, auditors)").Gives<PoolNowBody>().Refuses(403, 404);
        operations.MapGet("/pool-kinds", PoolRoutes.Kinds).Says("listPoolKinds", "Kinds of pools, each with what it can be told (admins, auditors)").Lists<PoolKindBody>().Refuses(403);
        operations.MapGet("/pools/{name}/settings", PoolRoutes.SettingsAsync).Says("poolSettings", "A pool as it was told (admins, auditors)", "What `PUT` takes. A secret is given as where it is, never as its text.").Gives<PoolSettingsBody>().Refuses(403, 404);
        operations.MapPut("/pools/{name}", PoolRoutes.SaveAsync).Says("savePool", "Make a pool, or change the one of this name (admins)",
            "In the words of the YAML; what is not there has its default. A secret is a text, which the portal keeps and never gives back, or where it is: `{\"env\": …}`, `{\"file\": …}`, or as `GET` gave it. "
            + "409 where the pool is declared.").Takes<PoolSettingsBody>().Gives<PoolBody>().Refuses(400, 403, 409);
        operations.MapPost("/pools/{name}/detach", PoolRoutes.DetachAsync).Says("detachPool", "Take a declared pool into the portal's own hands (admins)").Produces(204).Refuses(403, 404);
        operations.MapGet("/pools/{name}/affected", PoolRoutes.AffectedAsync).Says("poolAffected", "The labs that have machines on a pool (admins, auditors)").Lists<AffectedLabView>().Refuses(403, 404);
        operations.MapPost("/pools/{name}/try", PoolRoutes.TryAsync).Says("tryPool", "Have one machine made on a pool, reached and removed (admins)",
            "A run like every other, that no team is charged for; `Location` is the run. Also in maintenance. 409 while another trial of the pool is under way.")
            .Takes<TrialRequestBody>().Accepts<RunBody>().Refuses(400, 403, 404, 409);
        operations.MapGet("/pools/{name}/trials", PoolRoutes.TrialsAsync).Says("poolTrials", "The last trials of a pool, newest first (admins, auditors)").Gives<Listing<RunBody>>().Refuses(403);
        operations.MapPost("/pools/{name}/check", PoolRoutes.CheckAsync).Says("checkPool", "Check a pool now; all problems at once (admins)").Gives<PoolBody>().Refuses(403, 404);
        operations.MapPost("/pools/{name}/open", PoolRoutes.SetMode(PoolMode.Open)).Says("openPool", "Let a pool take new machines (admins)").Gives<PoolBody>().Refuses(403, 404);
        operations.MapPost("/pools/{name}/maintenance", PoolRoutes.SetMode(PoolMode.Maintenance)).Says("maintainPool", "Keep new machines away; what runs there stays (admins)").Gives<PoolBody>().Refuses(403, 404);
        operations.MapPost("/pools/{name}/drain", PoolRoutes.SetMode(PoolMode.Draining)).Says("drainPool", "Keep new machines away until it is empty (admins)").Gives<PoolBody>().Refuses(403, 404);
        operations.MapPost("/pools/{name}/images/{image}", PoolRoutes.ImportAsync).Says("importImage", "Copy an image file of the portal's machine to each host that lacks it (admins)",
            "In the background; progress is in the pool.").Takes<ImportRequestBody>().Accepts<PoolBody>().Refuses(400, 403, 404);
        operations.MapPost("/pools/{name}/images/{image}/digest", PoolRoutes.ReadDigestAsync).Says("readDigest", "Read an image on each host that has it without a digest (admins)",
            "In the background; progress is in the pool.").Accepts<PoolBody>().Refuses(400, 403, 404, 409);
        operations.MapGet("/orphans", PoolRoutes.OrphansAsync).Says("listOrphans", "What carries our name at a provider and belongs to no living lab (admins, auditors)", "The longest known first.").Asks("pool").Lists<OrphanView>().Refuses(403);
        operations.MapPost("/orphans/{id}/adopt", PoolRoutes.AdoptAsync).Says("adoptOrphan", "Leave an orphan to people: never touched again (admins)").Accepts<OrphanView>().Refuses(403, 404, 409);
        operations.MapPost("/orphans/{id}/delete", PoolRoutes.DeleteAsync).Says("deleteOrphan", "Delete an orphan at its provider, in the background (admins)").Accepts<OrphanView>().Refuses(403, 404, 409);

        operations.MapGet("/settings", SettingsRoutes.List).Says("listSettings", "What the installation is set to (admins, auditors)", "With the configuration's key of each, and whether admins may set it here (`settable`); never a secret, only whether one is set.").Lists<SettingView>().Refuses(403);
        operations.MapPatch("/settings", SettingsRoutes.SetAsync).Says("changeSettings", "Decide what the installation is set to (admins)",
            "What is named becomes this; null is the default; what is not named stays. All or nothing, and holds on all nodes within seconds, without a restart. 400 also for what the configuration says. "
            + "With `seen` (what the named ones were set to, absent at their default) 409 where one was changed meanwhile.").Takes<SettingsChangeBody>().Gives<Listing<SettingView>>().Refuses(400, 403, 409);
        operations.MapGet("/audit", AuditRoutes.ListAsync).Says("listAudit", "Who did what, newest first (admins, auditors)",
            $"With `Accept: {AuditFile.CsvType}` or `{AuditFile.LinesType}` all that the filter leaves, as a file, and not a page of it; at most {AuditCalls.MostExported} lines.")
            .Asks("who", "what", "kind", "object", "from", "to").Lists<AuditBody>().Produces<string>(200, AuditFile.CsvType, AuditFile.LinesType).Refuses(403, 409);
        me.MapGet("/audit", AuditRoutes.OwnAsync).Says("listOwnAudit", "What the caller did, newest first").Lists<AuditBody>().Refuses(403);

        catalogue.MapPut("/blueprints/{name}", CatalogueRoutes.SaveBlueprintAsync).Says("saveBlueprint", "Make or change a blueprint (admins)",
            "What its YAML says, as JSON, or as YAML where the media type says so; `definition` of an answer is one. A new version where the content is another; labs keep theirs. 409 where it is declared.")
            .Takes<JsonObject>().Gives<BlueprintBody>().Refuses(400, 403, 409);
        catalogue.MapDelete("/blueprints/{name}", CatalogueRoutes.Delete("blueprint")).Says("deleteBlueprint", "Take a blueprint out of the catalogue (admins)", "409 while labs live on it, and where it is declared.")
            .Produces(204).Refuses(403, 404, 409);
        catalogue.MapPost("/blueprints/{name}/retire", CatalogueRoutes.SetRetired(true)).Says("retireBlueprint", "Make no new labs of a blueprint; those that live go on (admins)").Produces(204).Refuses(403, 404, 409);
        catalogue.MapPost("/blueprints/{name}/bring-back", CatalogueRoutes.SetRetired(false)).Says("bringBackBlueprint", "Let a retired blueprint make labs again (admins)").Produces(204).Refuses(403, 404, 409);
        catalogue.MapPost("/blueprints/{name}/detach", CatalogueRoutes.Detach("blueprint")).Says("detachBlueprint", "Take a declared blueprint into the portal's own hands (admins)").Produces(204).Refuses(403, 404);
        catalogue.MapGet("/blueprints/{name}/versions", CatalogueRoutes.VersionsAsync).Says("listBlueprintVersions", "A blueprint's versions, and the living labs of each (admins)").Lists<BlueprintVersionView>().Refuses(403, 404);
        catalogue.MapGet("/blueprints/{name}/versions/{version}", CatalogueRoutes.VersionAsync).Says("findBlueprintVersion", "One version of a blueprint, as JSON and as YAML (admins)").Gives<BlueprintDefinitionBody>().Refuses(403, 404);
        catalogue.MapGet("/blueprints/{name}/versions/{version}/diff/{other}", CatalogueRoutes.CompareAsync).Says("compareBlueprintVersions", "What another version changes, line by line of the YAML (admins)")
            .Gives<DifferenceBody>().Refuses(403, 404);
        catalogue.MapPut("/images/{name}", CatalogueRoutes.SaveImageAsync).Says("saveImage", "Make or change an image (admins)", "Another version becomes the current one; labs keep theirs. 409 where it is declared.")
            .Takes<ImageRequestBody>().Gives<ImageBody>().Refuses(400, 403, 409);
        catalogue.MapDelete("/images/{name}", CatalogueRoutes.Delete("image")).Says("deleteImage", "Take an image out of the catalogue (admins)", "409 while labs live on it or blueprints name it, and where it is declared.")
            .Produces(204).Refuses(403, 404, 409);
        catalogue.MapPost("/images/{name}/detach", CatalogueRoutes.Detach("image")).Says("detachImage", "Take a declared image into the portal's own hands (admins)").Produces(204).Refuses(403, 404);
        catalogue.MapGet("/images/{name}/versions", CatalogueRoutes.ImageVersionsAsync).Says("listImageVersions", "An image's versions").Lists<ImageVersionBody>().Refuses(404);
        catalogue.MapPut("/sizes/{name}", CatalogueRoutes.SaveSizeAsync).Says("saveSize", "Make or change a size (admins)", "Labs keep the amounts that they were requested with. 409 where it is declared.")
            .Takes<SizeRequestBody>().Gives<SizeBody>().Refuses(400, 403, 409);
        catalogue.MapDelete("/sizes/{name}", CatalogueRoutes.Delete("size")).Says("deleteSize", "Delete a size (admins)", "409 while blueprints name it, and where it is declared.").Produces(204).Refuses(403, 404, 409);
        catalogue.MapPost("/sizes/{name}/detach", CatalogueRoutes.Detach("size")).Says("detachSize", "Take a declared size into the portal's own hands (admins)").Produces(204).Refuses(403, 404);

        catalogue.MapPut("/apply", CatalogueRoutes.ApplyAsync).Says("apply", "Apply YAML documents: all or nothing (admins)",
            "All mistakes are told at once, with their lines. `prune` deletes declared objects that are not in the text; refused while labs live on them.")
            .Asks("dryRun", "prune").TakesYaml().Gives<AppliedBody>().Refuses(400, 403, 409);

        catalogue.MapGet("/export", CatalogueRoutes.ExportAsync).Says("export", "The catalogue, teams and quotas as the YAML that `PUT /apply` takes (admins)",
            "Applied where it came from it changes nothing, but that all of it is declared then. Secrets are named by where they are, and never given.")
            .Produces<string>(200, CatalogueRoutes.YamlType).Refuses(403);

        app.MapGet(AuditRoutes.Download, AuditRoutes.DownloadAsync).RequireAuthorization(new AuthorizeAttribute { AuthenticationSchemes = Callers.CookieScheme }).ExcludeFromDescription();

        app.MapOpenApi(Prefix + "/openapi.json").AllowAnonymous();
        // Nothing under /api answers with a page.
        app.Map("/api/{**rest}", context => Problems.WriteAsync(context, StatusCodes.Status404NotFound, "call.unknown", ("path", context.Request.Path.Value!)))
            .ExcludeFromDescription();
    }

    private static void MapVerb(this RouteGroupBuilder labs, LabVerb verb, string summary)
    {
        var word = Domain.Words.Word(verb);
        labs.MapPost($"/{{id}}/{word}", LabRoutes.Ask(verb)).Says($"{word}Lab", summary).Accepts<LabBody>().Refuses(403, 404, 409);
    }

    private static void MapMachineVerb(this RouteGroupBuilder labs, LabVerb verb, string summary)
    {
        var word = Domain.Words.Word(verb);
        labs.MapPost($"/{{id}}/machines/{{name}}/{word}", LabRoutes.AskMachine(verb)).Says($"{word}Machine", summary).Accepts<LabBody>().Refuses(403, 404, 409);
    }
}
