using LabPortal.Bench.Layout;
using LabPortal.Web.Api;
using LabPortal.Web.Features;
using LabPortal.Web.Hosting;

// The whole portal with one page more, which is not shipped: a plain table in the portal's own layout.
var builder = WebApplication.CreateBuilder(args);
builder.AddPortal();
builder.AddApi();
builder.AddPages();
var app = builder.Build();
await app.PreparePortalAsync();
app.UsePortal();
// The portal's own scripts and styles, from where it was built; which files they are, ASPNETCORE_STATICWEBASSETS says.
app.MapStaticAssets(Environment.GetEnvironmentVariable("BENCH_ASSETS")!).AllowAnonymous();
app.MapRazorComponents<LayoutApp>().AddAdditionalAssemblies(typeof(App).Assembly).AddInteractiveServerRenderMode();
await app.RunAsync();
