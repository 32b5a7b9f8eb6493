using System.Globalization;
using System.Net;
using System.Text.Json.Nodes;
using Azure;
using Azure.Core;
using Azure.Core.Pipeline;
using Azure.Identity;
using Azure.ResourceManager;
using Azure.ResourceManager.Compute;
using Azure.ResourceManager.Compute.Models;
using Azure.ResourceManager.Resources;
using LabPortal.Domain.Pools;

namespace LabPortal.Providers.Azure;

/// <summary>A virtual machine as Azure shows it. <paramref name="Failure"/> is the code and the sentence of what went wrong; <paramref name="Disk"/> the id of its disk.</summary>
internal sealed record VirtualMachineView(
    string Id, string Name, string Provisioning, string Power, IReadOnlyDictionary<string, string> Tags, IReadOnlyList<string> Cards, (string Code, string Message)? Failure, string? Disk, IReadOnlyList<string> Zones);

internal sealed record ResourceView(string Id, string Type, string Name, IReadOnlyDictionary<string, string> Tags);

/// <summary>
/// Resource Manager's calls, one method each; with <see cref="AzureRequests"/> the only file that names the SDK. Nothing long is awaited. A call that fails is a
/// <see cref="ProviderFault"/>. The SDK repeats nothing by itself: the runner does, and counts.
/// </summary>
internal sealed partial class AzureClient
{
    // Of those that the SDK has no types of: without these it asks for them first.
    private const string NetworkVersion = "2023-09-01";
    private const string DiskVersion = "2023-04-02";
    private const string PermissionsVersion = "2022-04-01";

    private const string ImageVersion = "2023-09-01";
    private const string GalleryVersion = "2022-08-03";

    private readonly AzureSettings _settings;
    private readonly ArmClient _arm;

    /// <summary>For what the SDK has no method for.</summary>
    private readonly HttpPipeline _signed;

    /// <summary>For what is fetched with a signed address and must not have the token.</summary>
    private readonly HttpPipeline _plain;

    /// <param name="settings">The pool's.</param>
    /// <param name="credential">Other than the settings say.</param>
    /// <param name="transport">Other than the usual one: for a peer with a certificate of its own.</param>
    public AzureClient(AzureSettings settings, TokenCredential? credential = null, HttpPipelineTransport? transport = null)
    {
        _settings = settings;
        var options = new ArmClientOptions { Retry = { MaxRetries = 0 } };
        if (settings.Endpoint.Length > 0) options.Environment = new ArmEnvironment(new Uri(settings.Endpoint), settings.Audience.Length > 0 ? settings.Audience : settings.Endpoint);
        if (transport is not null) options.Transport = transport;
        options.SetApiVersion(new ResourceType("Microsoft.Network/networkInterfaces"), NetworkVersion);
        options.SetApiVersion(new ResourceType("Microsoft.Network/publicIPAddresses"), NetworkVersion);
        options.SetApiVersion(new ResourceType("Microsoft.Compute/disks"), DiskVersion);
        options.SetApiVersion(new ResourceType("Microsoft.Compute/snapshots"), DiskVersion);
        options.SetApiVersion(new ResourceType("Microsoft.Network/virtualNetworks/subnets"), NetworkVersion);
        options.SetApiVersion(new ResourceType("Microsoft.Compute/images"), ImageVersion);
        options.SetApiVersion(new ResourceType("Microsoft.Compute/galleries/images"), GalleryVersion);
        options.SetApiVersion(new ResourceType("Microsoft.Compute/galleries/images/versions"), GalleryVersion);
        credential ??= Credential(settings, transport);
        _arm = new ArmClient(credential, settings.Subscription, options);
        _signed = HttpPipelineBuilder.Build(options, new BearerTokenAuthenticationPolicy(credential, (options.Environment ?? ArmEnvironment.AzurePublicCloud).DefaultScope));
        _plain = HttpPipelineBuilder.Build(options);
    }

    private Uri Endpoint => _settings.Endpoint.Length > 0 ? new Uri(_settings.Endpoint) : ArmEnvironment.AzurePublicCloud.Endpoint;

    private SubscriptionResource Subscription => _arm.GetSubscriptionResource(SubscriptionResource.CreateResourceIdentifier(_settings.Subscription));

    private static TokenCredential Credential(AzureSettings settings, HttpPipelineTransport? transport)
    {
        // Which authorities there are the public cloud tells; of a private cloud's it knows nothing.
        var (authority, isOwn) = settings.AuthorityHost.Length > 0 ? (new Uri(settings.AuthorityHost), true) : (AzureAuthorityHosts.AzurePublicCloud, false);
        var client = settings.ClientId.Length > 0 ? settings.ClientId : null;
        return settings.Credential switch
        {
            "managed-identity" => new ManagedIdentityCredential(client is null ? ManagedIdentityId.SystemAssigned : ManagedIdentityId.FromUserAssignedClientId(client)),
            "workload-identity" => new WorkloadIdentityCredential(With(new WorkloadIdentityCredentialOptions { ClientId = client, DisableInstanceDiscovery = isOwn })),
            "client-secret" => new ClientSecretCredential(settings.TenantId, settings.ClientId, settings.ClientSecret, With(new ClientSecretCredentialOptions { DisableInstanceDiscovery = isOwn })),
            "client-certificate" => new ClientCertificateCredential(settings.TenantId, settings.ClientId, settings.CertificateFile, With(new ClientCertificateCredentialOptions { DisableInstanceDiscovery = isOwn })),
            "developer" => new ChainedTokenCredential(new AzureCliCredential(), new AzureDeveloperCliCredential(), new AzurePowerShellCredential()),
            _ => new DefaultAzureCredential(With(new DefaultAzureCredentialOptions { ManagedIdentityClientId = client, DisableInstanceDiscovery = isOwn })),
        };

        T With<T>(T options) where T : TokenCredentialOptions
        {
            options.AuthorityHost = authority;
            options.Retry.MaxRetries = 0;
            if (transport is not null) options.Transport = transport;
            return options;
        }
    }

    /// <summary>When Azure says that it answered.</summary>
    public Task<DateTimeOffset?> LookAtSubscriptionAsync(CancellationToken cancellation)
        => CallAsync("read the subscription", async ct => (await Subscription.GetAsync(ct)).GetRawResponse().Headers.Date, cancellation);

    /// <summary>What the portal may do in the group that the pool names, or in the subscription.</summary>
    public Task<IReadOnlyList<AzureGrant>> GrantsAsync(CancellationToken cancellation) => CallAsync<IReadOnlyList<AzureGrant>>("read its own permissions", async ct =>
    {
        var found = new List<AzureGrant>();
        var scope = _settings.ResourceGroup.Length > 0 ? $"/subscriptions/{_settings.Subscription}/resourceGroups/{_settings.ResourceGroup}" : $"/subscriptions/{_settings.Subscription}";
        for (var page = new Uri(Endpoint, $"{scope}/providers/Microsoft.Authorization/permissions?api-version={PermissionsVersion}"); page is not null;)
        {
            var answer = JsonNode.Parse(await GetAsync(_signed, page, ct))!;
            found.AddRange((answer["value"] as JsonArray ?? []).Select(grant => new AzureGrant(Texts(grant!["actions"]), Texts(grant["notActions"]))));
            page = Uri.TryCreate(answer["nextLink"]?.ToString(), UriKind.Absolute, out var next) ? next : null;
        }

        return found;

        static IReadOnlyList<string> Texts(JsonNode? list) => [.. (list as JsonArray ?? []).Select(item => item!.ToString())];
    }, cancellation);

    /// <summary>How much of each thing the subscription may have in the pool's location, and has.</summary>
    public Task<IReadOnlyList<Allowance>> AllowancesAsync(CancellationToken cancellation) => CallAsync<IReadOnlyList<Allowance>>("read the subscription's usage", async ct =>
    {
        var found = new List<Allowance>();
        await foreach (var usage in Subscription.GetUsagesAsync(new AzureLocation(_settings.Location), ct))
            found.Add(new Allowance(usage.Name.Value, usage.Name.LocalizedValue ?? usage.Name.Value, usage.CurrentValue, usage.Limit));
        return found;
    }, cancellation);

    /// <summary>Is it there: <c>publisher:offer:sku:version</c> of the marketplace, or a resource?</summary>
    public Task<bool> HasImageAsync(string image, CancellationToken cancellation) => CallAsync("look for the image", async ct =>
    {
        if (image.Split(':') is not [var publisher, var offer, var sku, var version])
            return await UnlessMissingAsync(async () => await _arm.GetGenericResource(AzureRequests.Id("image", image)).GetAsync(ct)) is not null;
        try
        {
            await foreach (var found in Subscription.GetVirtualMachineImagesAsync(new SubscriptionResourceGetVirtualMachineImagesOptions(new AzureLocation(_settings.Location), publisher, offer, sku), ct))
            {
                if (version is "latest" || found.Name == version) return true;
            }
        }
        catch (RequestFailedException missing) when (missing.Status == 404)
        {
            // Publisher, offer or SKU.
        }

        return false;
    }, cancellation);

    public Task<bool> HasSubnetAsync(CancellationToken cancellation) => CallAsync("read the subnet", async ct => await UnlessMissingAsync(
        async () => await _arm.GetGenericResource(AzureRequests.Id("subnet", _settings.Subnet)).GetAsync(ct)) is not null, cancellation);

    public Task<IReadOnlySet<string>> SizesAsync(CancellationToken cancellation) => CallAsync<IReadOnlySet<string>>("list sizes", async ct =>
    {
        var found = new HashSet<string>(StringComparer.OrdinalIgnoreCase);
        await foreach (var size in Subscription.GetVirtualMachineSizesAsync(new AzureLocation(_settings.Location), ct)) found.Add(size.Name);
        return found;
    }, cancellation);

    public Task EnsureGroupAsync(string name, IReadOnlyDictionary<string, string> tags, CancellationToken cancellation) => CallAsync("make the resource group", async ct =>
    {
        var data = new ResourceGroupData(new AzureLocation(_settings.Location));
        foreach (var (key, value) in tags) data.Tags[key] = value;
        return await Subscription.GetResourceGroups().CreateOrUpdateAsync(WaitUntil.Started, name, data, ct);
    }, cancellation);

    /// <summary>Orders it; fine where there is none.</summary>
    public Task DeleteGroupAsync(string name, CancellationToken cancellation) => CallAsync("delete the resource group", ct => UnlessMissingAsync(async () =>
        await _arm.GetResourceGroupResource(ResourceGroupResource.CreateResourceIdentifier(_settings.Subscription, name)).DeleteAsync(WaitUntil.Started, cancellationToken: ct)), cancellation);

    public Task<VirtualMachineView?> FindAsync(string group, string name, CancellationToken cancellation) => CallAsync("read the machine", async ct =>
        await UnlessMissingAsync(async () => await Machine(group, name).GetAsync(InstanceViewType.InstanceView, ct)) is { } found ? View(found.Value.Data) : null, cancellation);

    /// <summary>The machines of a group; nothing where there is no such group.</summary>
    public Task<IReadOnlyList<VirtualMachineView>> InGroupAsync(string group, CancellationToken cancellation) => CallAsync<IReadOnlyList<VirtualMachineView>>("list the machines of the group", async ct =>
    {
        var found = new List<VirtualMachineView>();
        try
        {
            await foreach (var machine in Group(group).GetVirtualMachines().GetAllAsync(cancellationToken: ct)) found.Add(View(machine.Data));
        }
        catch (RequestFailedException missing) when (missing.Status == 404)
        {
            return [];
        }

        return found;
    }, cancellation);

    public Task CreateAsync(string group, MachineSpec machine, string size, CancellationToken cancellation) => CallAsync("make the machine", async ct =>
        await Group(group).GetVirtualMachines().CreateOrUpdateAsync(WaitUntil.Started, machine.Owner.ResourceName, AzureRequests.Machine(machine, _settings, size), ct), cancellation);

    /// <summary>Orders it; false where there was none.</summary>
    public Task<bool> DeleteAsync(string group, string name, CancellationToken cancellation) => CallAsync("delete the machine", async ct =>
        await UnlessMissingAsync(async () => await Machine(group, name).DeleteAsync(WaitUntil.Started, forceDeletion: true, ct)) is { } ordered && ordered.GetRawResponse().Status != 204, cancellation);

    public Task StartAsync(string group, string name, CancellationToken cancellation) => CallAsync("start the machine", async ct => await Machine(group, name).PowerOnAsync(WaitUntil.Started, ct), cancellation);

    public Task DeallocateAsync(string group, string name, CancellationToken cancellation)
        => CallAsync("deallocate the machine", async ct => await Machine(group, name).DeallocateAsync(WaitUntil.Started, cancellationToken: ct), cancellation);

    public Task RestartAsync(string group, string name, CancellationToken cancellation) => CallAsync("restart the machine", async ct => await Machine(group, name).RestartAsync(WaitUntil.Started, ct), cancellation);

    /// <summary>Orders the end of any resource; fine where there is none, or where something still holds it, with which it goes.</summary>
    public Task DeleteRestAsync(string id, CancellationToken cancellation) => CallAsync("delete what is left of the machine", async ct =>
    {
        var identifier = new ResourceIdentifier(id);
        return await UnlessMissingAsync(async () => await _arm.GetGenericResource(identifier).DeleteAsync(WaitUntil.Started, ct));
    }, cancellation);

    /// <summary>Every resource of the subscription with this in its name, and every group with this tag.</summary>
    public Task<IReadOnlyList<ResourceView>> ListAsync(string inName, string tag, string value, CancellationToken cancellation) => CallAsync<IReadOnlyList<ResourceView>>("list resources", async ct =>
    {
        var found = new List<ResourceView>();
        await foreach (var group in Subscription.GetResourceGroups().GetAllAsync(filter: $"tagName eq '{tag}' and tagValue eq '{value}'", cancellationToken: ct))
            found.Add(new ResourceView(group.Id.ToString(), "Microsoft.Resources/resourceGroups", group.Data.Name, Tags(group.Data.Tags)));
        await foreach (var resource in Subscription.GetGenericResourcesAsync(filter: $"substringof('{inName}', name)", cancellationToken: ct))
            found.Add(new ResourceView(resource.Id.ToString(), resource.Id.ResourceType.ToString(), resource.Id.Name, Tags(resource.Data.Tags)));
        return found;
    }, cancellation);

    /// <summary>The addresses of a card, the public one first; nothing where the card is not there yet.</summary>
    public Task<IReadOnlyList<IPAddress>> AddressesAsync(string card, CancellationToken cancellation) => CallAsync<IReadOnlyList<IPAddress>>("read the network card", async ct =>
    {
        if (await ReadAsync(card, ct) is not { } properties) return [];
        var (own, shared) = (new List<IPAddress>(), new List<IPAddress>());
        foreach (var configuration in properties["ipConfigurations"] as JsonArray ?? [])
        {
            if (IPAddress.TryParse(configuration?["properties"]?["privateIPAddress"]?.ToString(), out var inner)) own.Add(inner);
            if (configuration?["properties"]?["publicIPAddress"]?["id"]?.ToString() is { } id && await ReadAsync(id, ct) is { } address && IPAddress.TryParse(address["ipAddress"]?.ToString(), out var outer)) shared.Add(outer);
        }

        return [.. shared, .. own];
    }, cancellation);

    private async Task<JsonNode?> ReadAsync(string id, CancellationToken cancellation)
        => await UnlessMissingAsync(async () => await _arm.GetGenericResource(new ResourceIdentifier(id)).GetAsync(cancellation)) is { } found ? JsonNode.Parse(found.Value.Data.Properties.ToString()) : null;

    private ResourceGroupResource Group(string name) => _arm.GetResourceGroupResource(ResourceGroupResource.CreateResourceIdentifier(_settings.Subscription, name));

    private VirtualMachineResource Machine(string group, string name) => _arm.GetVirtualMachineResource(VirtualMachineResource.CreateResourceIdentifier(_settings.Subscription, group, name));

    private static async Task<T?> UnlessMissingAsync<T>(Func<Task<T>> call) where T : class
    {
        try
        {
            return await call();
        }
        catch (RequestFailedException missing) when (missing.Status == 404 && missing.ErrorCode is "ResourceNotFound" or "ResourceGroupNotFound" or "NotFound" or "")
        {
            return null;
        }
    }

    private async Task<T> CallAsync<T>(string deed, Func<CancellationToken, Task<T>> call, CancellationToken cancellation)
    {
        cancellation.ThrowIfCancellationRequested();
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        deadline.CancelAfter(_settings.CallDeadline);
        try
        {
            return await call(deadline.Token);
        }
        catch (Exception cause) when (deadline.IsCancellationRequested && cause is OperationCanceledException or RequestFailedException { Status: 0 })
        {
            cancellation.ThrowIfCancellationRequested();
            throw deadline.IsCancellationRequested ? AzureFaults.Late(deed, _settings.CallDeadline, cause) : AzureFaults.Away(deed, cause);
        }
        catch (AuthenticationFailedException cause) when (cause.GetBaseException() is System.Net.Sockets.SocketException or HttpRequestException or IOException)
        {
            throw AzureFaults.Away("sign in", cause);
        }
        catch (AuthenticationFailedException cause)
        {
            throw AzureFaults.NoCredentials(cause);
        }
        catch (RequestFailedException cause)
        {
            throw AzureFaults.Of(deed, cause.ErrorCode ?? "", cause.Message, cause.Status, RetryAfter(cause), cause);
        }
        catch (Exception cause) when (cause is HttpRequestException or IOException or AggregateException or System.Text.Json.JsonException)
        {
            throw AzureFaults.Away(deed, cause);
        }
    }

    private static TimeSpan? RetryAfter(RequestFailedException cause)
        => cause.GetRawResponse()?.Headers.TryGetValue("Retry-After", out var text) == true && double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out var seconds) ? TimeSpan.FromSeconds(seconds) : null;

    private static VirtualMachineView View(VirtualMachineData machine)
    {
        var statuses = machine.InstanceView?.Statuses ?? [];
        var failed = statuses.FirstOrDefault(status => status.Code.StartsWith("ProvisioningState/failed", StringComparison.OrdinalIgnoreCase));
        return new VirtualMachineView(
            machine.Id.ToString(), machine.Name, machine.ProvisioningState ?? "",
            statuses.Select(status => status.Code).FirstOrDefault(code => code.StartsWith("PowerState/", StringComparison.Ordinal))?["PowerState/".Length..] ?? "", Tags(machine.Tags),
            [.. (machine.NetworkProfile?.NetworkInterfaces ?? []).Select(card => card.Id.ToString())],
            failed is null ? null : (failed.Code.Split('/')[^1], failed.Message ?? failed.DisplayStatus ?? ""),
            machine.StorageProfile?.OSDisk?.ManagedDisk?.Id?.ToString(), [.. machine.Zones]);
    }

    private static Dictionary<string, string> Tags(IDictionary<string, string> tags) => new(tags, StringComparer.OrdinalIgnoreCase);
}
