using System.Text.Json.Nodes;
using LabPortal.Domain;
using LabPortal.Web.Hosting;
using Microsoft.AspNetCore.OpenApi;
using Microsoft.OpenApi;
using NodaTime;

namespace LabPortal.Web.Api;

/// <summary>What the OpenAPI document says of a route, in the words of the contract.</summary>
internal static class Document
{
    private sealed record Query(string Name);

    private static readonly IReadOnlyDictionary<string, string> s_queries = new Dictionary<string, string>
    {
        ["state"] = "Only these states.",
        ["team"] = "Only this team's, by name.",
        ["owner"] = "Only this person's.",
        ["blueprint"] = "Only of this blueprint.",
        ["pool"] = "Only of this pool, by name.",
        ["phase"] = "Only runs that are `running`, `waiting`, `stuck` or `over`.",
        ["q"] = "Part of the name, any case.",
        ["limit"] = "At most so many items, 1 to 200; 50 where it is not said.",
        ["after"] = "`next` of the page before.",
        ["dryRun"] = "Say what would happen, and change nothing.",
        ["who"] = "Part of the actor's name, e-mail address or token's name, any case; or a person's id.",
        ["what"] = "Part of the verb, any case.",
        ["kind"] = "Only what was done to this kind of object.",
        ["object"] = "The object's id, or part of its name, any case.",
        ["from"] = "From this instant on.",
        ["to"] = "Before this instant.",
        ["prune"] = "Delete declared objects that are not in the text.",
    };

    public static RouteHandlerBuilder Says(this RouteHandlerBuilder route, string name, string summary, string? description = null)
    {
        route.WithName(name).WithSummary(summary).ProducesProblem<Problem>(401).ProducesProblem<Problem>(429);
        return description is null ? route : route.WithDescription(description);
    }

    public static RouteHandlerBuilder Takes<TBody>(this RouteHandlerBuilder route) => route.WithMetadata(new Taken(typeof(TBody)));

    public static RouteHandlerBuilder TakesYaml(this RouteHandlerBuilder route) => route.WithMetadata(new Taken(null));

    public static RouteHandlerBuilder Gives<TBody>(this RouteHandlerBuilder route) => route.Produces<TBody>(200);

    public static RouteHandlerBuilder Accepts<TBody>(this RouteHandlerBuilder route) => route.Produces<TBody>(202);

    public static RouteHandlerBuilder Creates<TBody>(this RouteHandlerBuilder route) => route.Produces<TBody>(201);

    public static RouteHandlerBuilder Lists<TBody>(this RouteHandlerBuilder route) => route.Asks("limit", "after").Produces<Listing<TBody>>(200).Refuses(400);

    public static RouteHandlerBuilder Asks(this RouteHandlerBuilder route, params string[] names) => route.WithMetadata([.. names.Select(name => (object)new Query(name))]);

    public static RouteHandlerBuilder Refuses(this RouteHandlerBuilder route, params int[] statuses)
    {
        foreach (var status in statuses) route.ProducesProblem<Problem>(status);
        return route;
    }

    public static void AddPortalDocument(this IServiceCollection services) => services.AddOpenApi("v1", document =>
    {
        // Where nothing has to be put into words, the calls' own view is the body; readers of the document need not know.
        document.CreateSchemaReferenceId = type => OpenApiOptions.CreateDefaultSchemaReferenceId(type) is { } name && name.EndsWith("View", StringComparison.Ordinal)
            ? $"{name[..^"View".Length]}Body"
            : OpenApiOptions.CreateDefaultSchemaReferenceId(type);
        document.AddDocumentTransformer((open, _, _) =>
        {
            open.Info = new OpenApiInfo
            {
                Title = "LabPortal",
                Version = "v1",
                Description = "Labs on request: ask, use, extend, end. Instants are RFC 3339 in UTC; a refusal is a problem (RFC 9457) with a stable code and a sentence.",
            };
            open.Servers = [];
            open.Components ??= new OpenApiComponents();
            open.Components.SecuritySchemes = new Dictionary<string, IOpenApiSecurityScheme>
            {
                [Callers.TokenScheme] = new OpenApiSecurityScheme { Type = SecuritySchemeType.Http, Scheme = "bearer", Description = "An API token." },
            };
            open.Security = [new OpenApiSecurityRequirement { [new OpenApiSecuritySchemeReference(Callers.TokenScheme, open)] = [] }];
            return Task.CompletedTask;
        });
        document.AddSchemaTransformer((schema, context, _) =>
        {
            Describe(schema, context.JsonTypeInfo.Type);
            return Task.CompletedTask;
        });
        document.AddOperationTransformer(async (operation, context, cancellation) =>
        {
            var metadata = context.Description.ActionDescriptor.EndpointMetadata;
            foreach (var query in metadata.OfType<Query>())
            {
                (operation.Parameters ??= []).Add(new OpenApiParameter
                {
                    Name = query.Name,
                    In = ParameterLocation.Query,
                    Description = s_queries[query.Name],
                    Schema = new OpenApiSchema
                    {
                        Type = query.Name switch { "limit" => JsonSchemaType.Integer, "dryRun" or "prune" => JsonSchemaType.Boolean, _ => JsonSchemaType.String },
                        Format = query.Name is "from" or "to" ? "date-time" : null,
                    },
                });
            }

            if (metadata.OfType<Taken>().SingleOrDefault() is { } taken) operation.RequestBody = new OpenApiRequestBody
            {
                Required = true,
                Content = new Dictionary<string, OpenApiMediaType>
                {
                    [taken.Type is null ? "application/yaml" : "application/json"] = new()
                    {
                        Schema = taken.Type is null ? new OpenApiSchema { Type = JsonSchemaType.String } : await context.GetOrCreateSchemaAsync(taken.Type, null, cancellation),
                    },
                },
            };
            if (operation.OperationId == "requestLab") (operation.Parameters ??= []).Add(new OpenApiParameter
            {
                Name = "Idempotency-Key",
                In = ParameterLocation.Header,
                Description = "Of the caller's choosing, at most 200 visible ASCII characters.",
                Schema = new OpenApiSchema { Type = JsonSchemaType.String, MaxLength = 200 },
            });
        });
    });

    private static RouteHandlerBuilder ProducesProblem<TProblem>(this RouteHandlerBuilder route, int status) => route.Produces<TProblem>(status, Problems.ContentType);

    /// <summary>What our own converters write.</summary>
    private static void Describe(OpenApiSchema schema, Type type)
    {
        var plain = Nullable.GetUnderlyingType(type) ?? type;
        var text = plain != type ? JsonSchemaType.String | JsonSchemaType.Null : JsonSchemaType.String;
        if (plain == typeof(Instant)) (schema.Type, schema.Format) = (text, "date-time");
        else if (plain.IsEnum)
        {
            schema.Type = text;
            schema.Enum = [.. Enum.GetValuesAsUnderlyingType(plain).Cast<object>().Select(value => (JsonNode)Kebab(Enum.GetName(plain, value)!))];
        }
        else if (plain.IsValueType && plain.Namespace == typeof(LabId).Namespace && plain.Name.EndsWith("Id", StringComparison.Ordinal)) (schema.Type, schema.Format) = (text, "uuid");
    }

    private static string Kebab(string name) => System.Text.Json.JsonNamingPolicy.KebabCaseLower.ConvertName(name);

    /// <summary>What a route reads by itself, told to the document alone.</summary>
    private sealed record Taken(Type? Type);
}
